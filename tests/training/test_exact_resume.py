"""SFT, a reward model and GRPO on two ranks, killed (-9) at random steps: every logged metric to the bit, and weights.

Moments follow from R1_KILL_SEED (1). `python -m benchmarks.resume` does it with many kills and all victims.
"""

import os
import random
from collections.abc import Iterator

import pytest

from benchmarks.resume import Kill, Result, Stand

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SEED = int(os.environ.get("R1_KILL_SEED", "1"))
SFT, REWARD, GRPO = "dev1", "rm_helpful", "zero"
ALL = f"{SFT},{REWARD},{GRPO}"


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with Stand(tmp_path_factory.mktemp("stand")) as found:
        yield found


@pytest.fixture(scope="module")
def pair(stand: Stand) -> tuple[dict[str, Result], dict[str, Result]]:
    """All of them undisturbed, and killed in each; GRPO when its rollouts are recorded, then without a server."""
    whole = stand.whole(ALL)
    rng = random.Random(SEED)
    print(f"R1_KILL_SEED={SEED}")
    for victim, name in (("everything", SFT), ("torchrun", REWARD)):
        steps = whole[name].counts["steps"]
        assert not stand.attempt(ALL, Kill(victim, rng.randint(1, steps - 1), steps, rng.uniform(0, 0.2)))
    last = whole[GRPO].counts["steps"]
    stand.attempt(ALL, Kill("everything", last - 1, last, 0.0, recorded=last))
    assert stand.made == {"everything": 2, "torchrun": 1}
    stand.stop_server()
    return whole, stand.whole(ALL)


@pytest.mark.parametrize("name", [SFT, REWARD, GRPO])
def test_killed_and_resumed_is_the_same(pair: tuple[dict[str, Result], dict[str, Result]], name: str) -> None:
    whole, killed = (side[name] for side in pair)
    assert len(whole.metrics) >= 2 * whole.counts["steps"]
    assert whole.differences(killed) == []


def test_a_difference_would_be_seen(pair: tuple[dict[str, Result], dict[str, Result]]) -> None:
    whole = pair[0][GRPO]
    metrics = {**whole.metrics, (3, "loss"): b"\0" * 8}
    other = Result("0", metrics, whole.rollouts[1:], whole.counts)
    assert whole.differences(other) == ["loss of step 3", "digest", "rollouts"]
