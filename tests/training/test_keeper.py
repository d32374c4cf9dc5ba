"""What a training leaves while it runs: TensorBoard events, copies of its states that another machine goes on from."""

import os
import shutil
import signal
import socket
import sys
import uuid
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from r1data.endpoint import Endpoint
from r1data.errors import StorageError
from r1data.generate.server import start_server
from r1data.manifest import Manifest
from r1data.storage import Lake
from r1data.training_params import GrpoParams, OptimizerParams, SftParams
from tests.s3 import Proxy
from tests.training.conftest import PRETRAIN, corpus_rows
from training import grpo, keeper, pretrain, sft, states
from training.job import Job, Stopped
from training.keeper import Copies

OPTIMIZER = OptimizerParams(learning_rate=1e-2, warmup_steps=1, micro_batch=4)
SFT = SftParams(optimizer=OPTIMIZER, epochs=2, batch=4, max_length=64, save_every=2)
GRPO = GrpoParams.model_validate(
    {
        "optimizer": OPTIMIZER.model_copy(update={"learning_rate": 1e-3}),
        "template": "User: {question} Assistant: ",
        "steps": 4,
        "prompts_per_step": 2,
        "group": 2,
        "max_tokens": 16,
        "save_every": 1,
    }
)


@pytest.fixture
def remote(workshop: Any) -> Any:
    """The workshop with a lake that is not this machine's disk."""
    workshop.lake = Lake.open(f"memory://{uuid.uuid4().hex}")
    return workshop


def base_of(workshop: Any) -> Manifest:
    job = workshop.job("base", "pretrain", PRETRAIN, {"corpus": workshop.dataset("corpus", "corpus", corpus_rows(16))})
    pretrain.train(job)
    made: Manifest = workshop.committed(job)
    return made


def sft_job(workshop: Any, base: Manifest, scratch: str) -> Job:
    made: Job = workshop.job("dev", "sft", SFT, {"init": base, "examples": workshop.examples(16)}, scratch)
    return made


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """As if SIGTERM came in a step, once."""
    whole = keeper.Keeper.measured

    def measured(self: keeper.Keeper, now: int, values: dict[str, float]) -> None:
        whole(self, now, values)
        if now == step:
            monkeypatch.setattr(keeper.Keeper, "measured", whole)
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(keeper.Keeper, "measured", measured)


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(e.step, e.value) for e in events.Scalars(name)]


def test_tensorboard_has_every_step_once_though_the_run_was_stopped(
    workshop: Any, base: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = sft_job(workshop, base, "scratch")
    stop_at(monkeypatch, 3)
    with pytest.raises(Stopped):
        sft.train(job)
    sft.train(job)
    metrics = pl.DataFrame(workshop.lake.read_table(f"{job.folder}/metrics.parquet"))
    kept = metrics.filter(pl.col("metric") == "loss").sort("step").select("step", "value").rows()
    shown = scalars(Path(workshop.lake.path(job.folder)), "loss")
    assert [s for s, _ in shown] == list(range(1, 9)) == [s for s, _ in kept]
    assert [v for _, v in shown] == pytest.approx([v for _, v in kept], rel=1e-6)
    assert {"tokens_per_second", "memory_mb", "step_seconds"} <= set(metrics["metric"])


def test_events_do_not_name_the_machine_and_stay_out_of_the_digest(workshop: Any, base: Manifest) -> None:
    job = sft_job(workshop, base, "scratch")
    sft.train(job)
    first = workshop.committed(job)
    (events,) = (f.path for f in first.files if "tfevents" in f.path)
    assert socket.gethostname() not in events.rsplit("/", 1)[-1]
    job.scratch.mkdir(parents=True)
    sft.train(job)
    assert workshop.committed(job).digest == first.digest


def lost_and_resumed(workshop: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    base = base_of(workshop)
    whole = sft_job(workshop, base, "whole")
    sft.train(whole)
    expected = workshop.committed(whole).digest
    for name in workshop.lake.names(whole.folder):
        workshop.lake.delete(name)
    stop_at(monkeypatch, 5)
    with pytest.raises(Stopped):
        sft.train(sft_job(workshop, base, "lost"))
    shutil.rmtree(workshop.folder / "lost")
    capsys.readouterr()
    again = sft_job(workshop, base, "other-machine")
    sft.train(again)
    assert "resumed at step 5" in capsys.readouterr().out
    assert workshop.committed(again).digest == expected
    assert [n for n in workshop.lake.names(again.folder) if "/states/" in n] == []


def test_another_machine_goes_on_where_a_lost_one_stopped(
    remote: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lost_and_resumed(remote, monkeypatch, capsys)


def test_it_does_from_a_real_s3_server(
    workshop: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop.lake = proxy.lake(f"keeper-{uuid.uuid4().hex[:8]}")
    lost_and_resumed(workshop, monkeypatch, capsys)


def test_rollouts_go_with_the_state(remote: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    base = base_of(remote)
    inputs = {"init": base, "problems": remote.problems(4)}
    server = start_server(remote.model(base), "fake", sys.executable, tmp_path / "fake.log")
    try:
        stop_at(monkeypatch, 2)
        endpoint = Endpoint(server.url, "policy")
        with pytest.raises(Stopped):
            grpo.train(remote.job("zero", "grpo", GRPO, inputs, "lost", endpoint))
        shutil.rmtree(remote.folder / "lost")
        again = remote.job("zero", "grpo", GRPO, inputs, "found", endpoint)
        grpo.train(again)
    finally:
        server.stop()
    rollouts = pl.DataFrame(remote.lake.read_table(f"{again.folder}/rollouts.parquet"))
    assert sorted(set(rollouts["step"])) == [1, 2, 3, 4]


def state(scratch: Path, step: int) -> Path:
    """A saved state of two files."""
    beside = scratch / ".state"
    (beside / "state").mkdir(parents=True)
    (beside / "state" / "weights.pt").write_bytes(bytes([step]) * 100)
    (beside / "extra.pt").write_bytes(b"e")
    states.publish(beside, states.folder_of(scratch, step))
    return states.folder_of(scratch, step)


def test_record_that_grew_since_it_was_copied_is_copied_again(remote: Any, tmp_path: Path) -> None:
    copies, record = Copies(remote.lake, "states", tmp_path), tmp_path / "rollouts" / "step-000001.parquet"
    record.parent.mkdir()
    for number, text in ((1, b"a round"), (2, b"all rounds")):
        record.write_bytes(text)
        copies.put(state(tmp_path, number))
        copies.wait()
    assert remote.lake.read("states/rollouts/step-000001.parquet") == b"all rounds"


def test_torn_copy_does_not_count(remote: Any, tmp_path: Path) -> None:
    copies = Copies(remote.lake, "data/zero/key/states", tmp_path / "a")
    copies.put(state(tmp_path / "a", 1))
    copies.wait()
    remote.lake.write("data/zero/key/states/state-0000002/extra.pt", b"e")  # killed before the listing
    found = Copies(remote.lake, "data/zero/key/states", tmp_path / "b").fetch()
    assert found == tmp_path / "b" / "state-0000001" == states.last_whole(tmp_path / "b")


def test_only_the_newest_copy_stays(remote: Any, tmp_path: Path) -> None:
    copies = Copies(remote.lake, "states", tmp_path)
    for step in (1, 2, 3):
        copies.put(state(tmp_path, step))
        copies.wait()
    assert {n.split("/")[1] for n in remote.lake.names("states")} == {"state-0000003"}


def test_store_that_fails_does_not_end_the_training(
    remote: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copies = Copies(remote.lake, "states", tmp_path)

    def full(*_: object) -> None:
        raise StorageError("states: no space left", "make room")

    monkeypatch.setattr(Lake, "put", full)
    copies.put(state(tmp_path, 1))
    copies.wait()
    assert "state-0000001 was not copied" in capsys.readouterr().out
    assert remote.lake.names("states") == []
