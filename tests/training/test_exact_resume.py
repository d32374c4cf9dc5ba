"""SFT, a reward model, GRPO with rollouts of a server, of the ranks and asked ahead, killed (-9) at random steps.

On two ranks. Every logged metric is the same to the bit, and the weights. Moments follow from R1_KILL_SEED (1).
`python -m benchmarks.resume` does it with many kills and all victims.
"""

import os
import random
import struct
from collections.abc import Iterator

import httpx
import pytest

from benchmarks.resume import BFLOAT, Kill, Result, Stand

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SEED = int(os.environ.get("R1_KILL_SEED", "1"))
SFT, REWARD, GRPO, IN_PROCESS, AHEAD, VLLM = "dev1", "rm_helpful", "zero", "student_rl", "r1", "dev2"
NAMES = (SFT, REWARD, IN_PROCESS, AHEAD, GRPO)
ALL = ",".join(NAMES)
OWN = {
    VLLM: "steps = 4\nprompts_per_step = 4\ngroup = 4\nmax_tokens = 24\nsave_every = 1\nkl = 0.1\n"
    'overlong = "penalty"\noverlong_buffer = 24\nkeep = { policy = "best", window = 2 }\n'
    f"optimizer = {{ learning_rate = 1e-2, micro_batch = 4, {BFLOAT} }}"
}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with Stand(tmp_path_factory.mktemp("stand"), sections=OWN, engines={VLLM: "in_process"}) as found:
        yield found


@pytest.fixture(scope="module")
def pair(stand: Stand) -> tuple[dict[str, Result], dict[str, Result]]:
    """All of them undisturbed, and killed in each; of a server's once more rollouts are recorded than were learnt."""
    whole = stand.whole(ALL)
    rng = random.Random(SEED)
    print(f"R1_KILL_SEED={SEED}")
    recorded, before = 0, served(stand)
    steps = {name: int(whole[name].counts["steps"]) for name in NAMES}
    assert len(set(steps.values())) == len(NAMES), "a kill knows its training by how many steps it has"
    for name in NAMES:
        victim, step = "torchrun" if name == REWARD else "everything", rng.randint(1, steps[name] - 1)
        kill = Kill(victim, step, steps[name], rng.uniform(0, 0.2))
        if name == GRPO:
            kill = Kill(victim, step, steps[name], 0.0, step + 1, GRPO)
        assert not stand.attempt(ALL, kill)
        if name == GRPO:
            recorded, before = stand.recorded(GRPO), served(stand)
            assert recorded > step
    assert stand.made == {"everything": 4, "torchrun": 1}
    killed = stand.whole(ALL)
    # recorded ones are not asked again
    assert served(stand) - before == sum(r["completion_tokens"] for r in whole[GRPO].rollouts if r["step"] > recorded)
    return whole, killed


def served(stand: Stand) -> float:
    """Tokens that the server made so far."""
    return float(httpx.get(f"{stand.url}/metrics", timeout=60).text.split()[-1])


@pytest.mark.parametrize("name", NAMES)
def test_killed_and_resumed_is_the_same(pair: tuple[dict[str, Result], dict[str, Result]], name: str) -> None:
    whole, killed = (side[name] for side in pair)
    assert len(whole.metrics) >= 2 * whole.counts["steps"]
    assert whole.differences(killed) == []


def test_rollouts_that_were_asked_ahead_are_stale(pair: tuple[dict[str, Result], dict[str, Result]]) -> None:
    ages = [pair[1][AHEAD].metrics[step, "staleness"] for step in (1, 2, 7)]
    assert ages == [struct.pack("<d", age) for age in (0, 1, 1)]


def test_a_difference_would_be_seen(pair: tuple[dict[str, Result], dict[str, Result]]) -> None:
    whole = pair[0][GRPO]
    metrics = {**whole.metrics, (3, "loss"): b"\0" * 8}
    other = Result("0", metrics, whole.rollouts[1:], whole.counts)
    assert whole.differences(other) == ["loss of step 3", "digest", "rollouts"]


def test_vllm_in_the_ranks_killed_and_resumed_is_the_same(stand: Stand) -> None:
    """Of one training in fresh processes: vLLM does not start after others', and ends their process group."""
    whole = stand.whole(VLLM)[VLLM]
    rng, before = random.Random(SEED), stand.made.total()
    assert not stand.attempt(VLLM, Kill("everything", rng.randint(2, 3), 4, rng.uniform(0, 0.2)))
    assert stand.made.total() == before + 1
    stand.told.clear()
    killed = stand.whole(VLLM)[VLLM]
    assert any(line.startswith("resumed") for line in stand.told)
    assert (4, "mismatch") in whole.metrics, "vLLM tells log-probs"
    assert len({whole.metrics[step, "grad_norm"] for step in (1, 2, 3, 4)}) == 4
    assert whole.differences(killed) == []
