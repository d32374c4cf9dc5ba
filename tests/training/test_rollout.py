"""Rollouts as a file: exact, whole or absent."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from r1data.errors import EndpointError, StageFailed
from r1data.generate.client import Completion, CompletionRequest
from training.rollout import Sample, _sample, load_rollouts, rollouts_file, samples_of, save_rollouts

SAMPLES = [
    Sample(0, 1, 7, "<think>等</think>", [4, 5, 1], [-0.1, -1e-17, -3.3333333333333335], "stop", 0.1 + 0.2, {"a": 0.1}),
    Sample(1, 0, 2**62, "", [1], [], "length", None, None, "undecided", consistency=None),
]


def test_samples_survive_exactly(tmp_path: Path) -> None:
    path = rollouts_file(tmp_path, 3)
    save_rollouts(path, SAMPLES)
    assert load_rollouts(path) == SAMPLES
    assert [p.name for p in path.parent.iterdir()] == ["step-000003.parquet"]


def test_nothing_recorded_is_none(tmp_path: Path) -> None:
    assert load_rollouts(rollouts_file(tmp_path, 0)) is None


def test_record_from_before_weights_were_noted_is_of_its_steps_own(tmp_path: Path) -> None:
    path = rollouts_file(tmp_path, 3)
    save_rollouts(path, SAMPLES)
    pq.write_table(pq.read_table(path).drop_columns(["weights"]), path)
    assert {s.weights for s in load_rollouts(path) or []} == {3}


def test_torn_record_is_a_clear_error(tmp_path: Path) -> None:
    path = rollouts_file(tmp_path, 0)
    save_rollouts(path, SAMPLES)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(StageFailed, match="step-000000"):
        load_rollouts(path)


@pytest.mark.parametrize(("ids", "logprobs"), [((), ()), ((1, 2), (-0.5,))], ids=["no ids", "fewer log-probs"])
def test_server_must_give_token_ids(ids: tuple[int, ...], logprobs: tuple[float, ...]) -> None:
    with pytest.raises(EndpointError, match="token ids"):
        _sample(0, 0, 0, Completion("x", ids, logprobs, "stop", 3, len(ids)))


@pytest.mark.parametrize("answered", [0, 1])
def test_groups_must_be_whole(answered: int) -> None:
    with pytest.raises(EndpointError, match=f"{answered} completions of prompt 7, asked for 2"):
        samples_of([CompletionRequest("x", 2, 0, "7")], [[Completion("x", (1,), (), "stop", 3, 1)] * answered])
