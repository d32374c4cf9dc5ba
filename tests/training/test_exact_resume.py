"""SFT, a reward model, GRPO with rollouts of its ranks and of a server, killed (-9) at random steps on two ranks.

Every logged metric is the same to the bit, and the weights. Moments follow from R1_KILL_SEED (1).
`python -m benchmarks.resume` does it with many kills and all victims.
"""

import os
import random
from collections.abc import Iterator

import httpx
import pytest

from benchmarks.resume import Kill, Result, Stand

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SEED = int(os.environ.get("R1_KILL_SEED", "1"))
SFT, REWARD, GRPO, IN_PROCESS = "dev1", "rm_helpful", "zero", "student_rl"
ALL = f"{SFT},{REWARD},{IN_PROCESS},{GRPO}"


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with Stand(tmp_path_factory.mktemp("stand")) as found:
        yield found


@pytest.fixture(scope="module")
def pair(stand: Stand) -> tuple[dict[str, Result], dict[str, Result]]:
    """All of them undisturbed, and killed in each; GRPO once more rollouts are recorded than were learnt from."""
    whole = stand.whole(ALL)
    rng = random.Random(SEED)
    print(f"R1_KILL_SEED={SEED}")
    for victim, name in (("everything", SFT), ("torchrun", REWARD), ("everything", IN_PROCESS)):
        steps = whole[name].counts["steps"]
        assert not stand.attempt(ALL, Kill(victim, rng.randint(1, steps - 1), steps, rng.uniform(0, 0.2)))
    last = whole[GRPO].counts["steps"]
    step = rng.randint(1, last - 1)
    assert not stand.attempt(ALL, Kill("everything", step, last, 0.0, recorded=step + 1))
    assert stand.made == {"everything": 3, "torchrun": 1}
    recorded, before = stand.recorded(GRPO), served(stand)
    killed = stand.whole(ALL)
    assert recorded > step
    # recorded ones are not asked again
    assert served(stand) - before == sum(r["completion_tokens"] for r in whole[GRPO].rollouts if r["step"] > recorded)
    return whole, killed


def served(stand: Stand) -> float:
    """Tokens that the server made so far."""
    return float(httpx.get(f"{stand.url}/metrics", timeout=60).text.split()[-1])


@pytest.mark.parametrize("name", [SFT, REWARD, GRPO, IN_PROCESS])
def test_killed_and_resumed_is_the_same(pair: tuple[dict[str, Result], dict[str, Result]], name: str) -> None:
    whole, killed = (side[name] for side in pair)
    assert len(whole.metrics) >= 2 * whole.counts["steps"]
    assert whole.differences(killed) == []


def test_a_difference_would_be_seen(pair: tuple[dict[str, Result], dict[str, Result]]) -> None:
    whole = pair[0][GRPO]
    metrics = {**whole.metrics, (3, "loss"): b"\0" * 8}
    other = Result("0", metrics, whole.rollouts[1:], whole.counts)
    assert whole.differences(other) == ["loss of step 3", "digest", "rollouts"]
