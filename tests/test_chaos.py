"""The chaos driver: what it makes and finds in the small, and a whole short campaign that is stopped and goes on."""

import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.chaos.faults import ANEW, NEVER, SAME, Faulty
from benchmarks.chaos.journal import BEGIN, END, Journal, report, write_report
from benchmarks.chaos.reader import Reader
from benchmarks.chaos.segments import before, fill, rarest, refs_of
from benchmarks.chaos.stack import kind_of
from flows.ops.processes import marked
from flows.ops.up import State
from r1data.manifest import MANIFEST
from r1data.refs import list_refs, ref_file, resolve
from r1data.stages import STAGES
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import make_lake
from tests.s3 import Request, Server, proxied


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add("campaign", engine="fake")
    journal.add("run", number=1)
    with journal.file.open("a") as file:
        file.write('{"event": "kill", "num')
    again = Journal(tmp_path)
    assert [e["event"] for e in again.events] == ["campaign", "run"]
    assert again.run() == (1, True)
    again.add("end", run=1, equal=True, begun=1, attempts=1)
    assert Journal(tmp_path).run() == (2, False)


def test_the_report_goes_between_the_marks(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add("campaign", engine="fake")
    journal.add("kill", number=1, victim="rank")
    journal.add("outcome", number=1, how="by hand")
    journal.add("fault", what="500", outcome=SAME)
    journal.add("violation", what="a ref points to nothing")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_report([journal], page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert report([journal]) in text
    assert "| rank | 1 | 0 | 0 | 1 | 0 |" in text
    assert "- **violation** a ref points to nothing" in text


def test_the_report_says_who_made_the_rollouts(tmp_path: Path) -> None:
    columns = []
    for name, about in (("old", {}), ("server", {"rollouts": "server"}), ("hf", {"rollouts": "hf"})):
        (tmp_path / name).mkdir()
        columns.append(Journal(tmp_path / name))
        columns[-1].add("campaign", engine="fake", **about)
    assert report(columns).startswith("|  | fake engine | fake engine | fake engine, HF rollouts |")


def test_processes_are_known_by_their_command_lines() -> None:
    python = "/bin/python"
    told = {
        f"{python} -m r1data.child 15 7 {python} -m torch.distributed.run -m -- training.sft": "",
        f"{python} -m torch.distributed.run --standalone --nproc_per_node=2 -m -- training.sft": "torchrun",
        f"{python} -u -m training.sft --recipe smoke --node dev1": "rank",
        f"{python} -m training.grpo --recipe smoke": "rank",
        f"{python} -m r1data.generate.fake_server --model m": "engine",
        "VLLM::EngineCore": "engine",
        f"{python} -m prefect.engine": "flow",
        f"{python} -m prefect worker start --pool gpu --type process": "worker",
        f"{python} -m prefect worker start --pool cpu --type process": "",
        f"{python} -m prefect server start --host 127.0.0.1": "Prefect server",
        "/bin/juicefs gateway --multi-buckets": "",  # known otherwise
    }
    assert {command: kind_of(command) for command in told} == told


def test_what_became_of_a_fault(s3: Server) -> None:
    told: list[tuple[str, str]] = []
    proxy = Faulty(s3, left=3, every=1.0)
    proxy.told = lambda what, kind, name, outcome: told.append((name, outcome))
    for name in ("tried again", "asked anew", "never"):
        with proxy.lock:
            proxy.until = 0
        proxy.active.set()
        proxy.rng.choices = lambda *_: ["500"]  # type: ignore[method-assign]
        assert proxy.fault(Request("GET", name, {"amz-sdk-invocation-id": "one"})) == 500
    assert proxy.left == 0
    assert proxy.fault(Request("GET", "more", {})) is None
    proxy.passed(Request("GET", "tried again", {"amz-sdk-invocation-id": "one"}), 200)
    proxy.passed(Request("GET", "asked anew", {"amz-sdk-invocation-id": "two"}), 404)
    proxy.passed(Request("PUT", "never", {}), 200)
    proxy.settle(everything=True)
    assert told == [("tried again", SAME), ("asked anew", ANEW), ("never", NEVER)]


def test_an_upload_is_torn_only_where_there_is_one(s3: Server) -> None:
    proxy = Faulty(s3, left=9, every=1e-9)
    proxy.active.set()
    proxy.rng.choices = lambda *_: ["torn upload"]  # type: ignore[method-assign]
    assert proxy.fault(Request("GET", "a", {})) is None
    assert proxy.fault(Request("PUT", "b", {})) == "torn_upload"


def test_faults_are_absorbed_by_the_client(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.chaos.faults.OUTAGE_SHARE", 0.0)
    told: list[str] = []
    proxy = Faulty(s3, left=20, every=5.0, rng=random.Random(5))
    proxy.told = lambda what, kind, name, outcome: told.append(outcome)
    proxy.answered = proxy.passed
    with proxied(s3, proxy):
        lake = proxy.lake("absorbed", config_kwargs={"read_timeout": 2})
        proxy.active.set()
        proxy.rng.choices = lambda *_: ["500"]  # type: ignore[method-assign]
        for i in range(60):
            lake.write(f"a/{i}", b"x" * 100)
            assert lake.read(f"a/{i}") == b"x" * 100
        proxy.settle(everything=True)
    assert len(told) == 20 - proxy.left
    assert set(told) <= {SAME, ANEW}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A small one, whole."""
    return make_lake(tmp_path / "lake")


def test_a_whole_lake_has_no_fault(lake: Lake) -> None:
    found: list[str] = []
    reader = Reader(lake, found.append)
    about = reader.check()
    assert found == []
    assert about["refs"] == about["manifests"] > 10
    assert about["files"] >= about["manifests"]
    assert reader.check()["files"] == 0, "what is immutable is compared once"
    reader.again()
    assert reader.check()["files"] == about["files"]


def lose_a_shard(lake: Lake) -> None:
    lake.delete(resolve(lake, "tiny/cold_start").shards[0].path)


def change_a_shard(lake: Lake) -> None:
    lake.write(resolve(lake, "tiny/cold_start").shards[0].path, b"PAR1")


def lose_a_manifest(lake: Lake) -> None:
    lake.delete(f"{resolve(lake, 'tiny/cold_start').path}/{MANIFEST}")


def tear_a_manifest(lake: Lake) -> None:
    name = f"{resolve(lake, 'tiny/cold_start').path}/{MANIFEST}"
    lake.write(name, lake.read(name)[:-9])


def point_elsewhere(lake: Lake) -> None:
    lake.write(
        ref_file("tiny/cold_start"), lake.read(ref_file("tiny/cold_start")).replace(b'"digest": "', b'"digest": "0')
    )


@pytest.mark.parametrize("damage", [lose_a_shard, change_a_shard, lose_a_manifest, tear_a_manifest, point_elsewhere])
def test_a_broken_promise_is_seen(lake: Lake, damage: Callable[[Lake], None]) -> None:
    damage(lake)
    found: list[str] = []
    Reader(lake, found.append).check()
    assert any("cold_start" in line for line in found), found


def test_what_was_published_may_not_go(lake: Lake) -> None:
    found: list[str] = []
    reader = Reader(lake, found.append)
    reader.check()
    lose_a_manifest(lake)
    reader.check()
    assert [line for line in found if line.endswith("was published and is gone")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_of_one_stage_has_what_the_stage_needs_and_no_more(finished: Lake, tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    assert fill(finished, lake, "smoke", "distill") == len(lake.names(""))
    there = set(list_refs(lake))
    assert there == refs_of("smoke", before("smoke", "distill"))
    assert "smoke/sft_mix" in there
    assert not there & {"smoke/distill", "smoke/r1", "smoke/eval/zero"}
    found: list[str] = []
    Reader(lake, found.append).check()
    assert found == []


def test_every_stage_has_its_turn() -> None:
    taken: list[str] = []
    for number in range(24):
        taken.append(rarest(STAGES, taken, random.Random(number)))
    assert Counter(taken) == dict.fromkeys(STAGES, 2)


def _driver(state: Path) -> "subprocess.Popen[str]":
    told = ["--kills", "3", "--faults", "30", "--every", "3", "--pause", "1", "6"]
    told += ["--stage", "foundations", "--ranks", "1"]
    command = [sys.executable, "-u", "-m", "benchmarks.chaos", "--state", str(state), *told]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_campaign_is_stopped_and_goes_on() -> None:
    """Not in the folder of the test: PostgreSQL, started as `nobody` by root, has to reach it."""
    with tempfile.TemporaryDirectory(prefix="r1-chaos-") as name:
        state = Path(name)
        with _driver(state) as first:
            assert first.stdout is not None
            for line in first.stdout:
                if "killed" in line:
                    first.send_signal(signal.SIGTERM)
            assert first.wait() == 3
        assert marked(_mark(state)) == []
        with _driver(state) as second:
            out, _ = second.communicate()
        assert second.returncode == 0, out[-3000:]
        journal = Journal(state)
        assert len(journal.of("kill")) == 3
        assert len(journal.of("fault")) >= 30
        assert [e["why"] for e in journal.of("rerun")].count("stopped") == 1
        assert {e["equal"] for e in journal.of("end")} == {True}
        assert journal.of("violation") == []
        assert "No violation was found." in out
        assert marked(_mark(state)) == [], "nothing is left running"


def _mark(state: Path) -> str:
    return State.model_validate_json((state / "up" / "state.json").read_bytes()).mark
