"""kill -9 of the client, of the server and of both while candidates are sampled: none missing, none paid twice beyond
one flush interval, recorded ones unchanged, no process left.

Moments are drawn from PYTHONHASHSEED, as number of requests sent or answered so far and a fraction of a second.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from r1data.digest import digest_table
from r1data.generate.sampler import Answered
from r1data.storage import Lake
from tests.generating import MANIFEST, PART_SECONDS, PROMPTS, SAMPLING, TICK_S, judge, pool_of
from tests.running import children_of, environment, members, wait_until
from tests.training.test_vllm import checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parent.parent
ARGUMENTS = {"fake": ("--token-ms", "10", "--max-num-seqs", "96"), "vllm": ("--max-num-seqs", "16")}
# a part is written while two cores are busy with the engine
SLACK_S = {"fake": 1.0, "vllm": 3.0}
MOMENTS = random.Random(hash("moments"))
# a server that has nothing to do any more is not started again
VICTIMS = {"client": 1.0, "server": 0.85, "both": 0.85}
KILLS = [(n, list(VICTIMS)[n % 3], MOMENTS.random(), MOMENTS.uniform(0, 0.2)) for n in range(20)]
Row = dict[str, Any]


@dataclass
class Run:
    """The program of `tests.generating` on one lake, started as often as it takes."""

    folder: Path
    engine: str = "fake"
    logs: list[Path] = field(default_factory=list)

    @property
    def lake(self) -> Lake:
        """Its lake."""
        return Lake.open(str(self.folder / "lake"))

    def start(self) -> "subprocess.Popen[str]":
        """Once more."""
        self.logs.append(self.folder / f"requests-{len(self.logs)}")
        places = [self.folder / "lake", self.folder / "scratch", self.engine, self.logs[-1], self.folder / "shards"]
        with (self.folder / "lines").open("a") as lines:
            return subprocess.Popen(
                [sys.executable, "-u", "-m", "tests.generating", *map(str, places), *ARGUMENTS[self.engine]],
                env=environment(self.folder / "scratch"),
                cwd=ROOT,
                stdout=lines,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def lines(self) -> str:
        """All it has said."""
        return (self.folder / "lines").read_text(encoding="utf-8")

    def requests(self, number: int = -1) -> list[list[str]]:
        """Time, asked or answered, seed and number of candidates, of one start."""
        log = self.logs[number]
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def seeds(self, kind: str, number: int = -1) -> Counter[int]:
        """Candidates asked or answered in one start, by their seeds."""
        told = [(int(seed), int(n)) for _, found, seed, n in self.requests(number) if found == kind]
        return Counter(seed + i for seed, n in told for i in range(n))

    def parts(self) -> dict[str, list[Row]]:
        """The recorded candidates by part."""
        pool = pool_of(self.lake)
        return dict(zip(pool.names(), (t.to_pylist() for t in pool.tables()), strict=True))

    def shards(self) -> pl.DataFrame:
        """What it gave in the end."""
        return pl.read_parquet(self.folder / "shards")

    def wait(self, process: "subprocess.Popen[str]", seconds: float = 100) -> None:
        """It ends well, lets go of its lease and leaves no process."""
        servers: set[int] = set()

        def ended() -> bool:
            servers.update(children_of(process.pid))
            return process.poll() is not None

        wait_until(ended, seconds)
        assert process.returncode == 0, self.lines()[-3000:]
        wait_until(lambda: not any(members(s) for s in servers), 10)
        assert self.lake.names("leases") == []


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a checkpoint and nothing else."""
    lake = Lake.open(str(tmp_path_factory.mktemp("model") / "lake"))
    lake.write(MANIFEST, checkpoint(lake, "m", 1).model_dump_json().encode())
    return Path(lake.root)


def run_on(model: Path, folder: Path, engine: str = "fake") -> Run:
    shutil.copytree(model, folder / "lake")
    return Run(folder, engine)


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Undisturbed."""
    run = run_on(model, tmp_path_factory.mktemp("whole"))
    run.wait(run.start())
    assert_complete(run)
    return run


def assert_complete(run: Run) -> None:
    """Samples of every prompt from the first to where the rule stops; each recorded once, or twice alike."""
    frame = run.shards().sort("sample_index")
    assert frame["problem_id"].n_unique() == len(PROMPTS)
    for _, rows in frame.group_by("problem_id"):
        rows = rows.sort("sample_index")
        assert rows["sample_index"].to_list() == list(range(rows.height))
        verdicts = [o.accepted for o in judge([Answered("", c, "stop", 0) for c in rows["completion"]])]
        asked = 0
        while size := SAMPLING.next_round(asked, sum(verdicts[:asked])):
            asked += size
        assert rows.height == asked
    assert len(by_seed(run.parts())) == frame.height == frame["candidate_id"].n_unique()


def by_seed(parts: dict[str, list[Row]]) -> dict[int, Row]:
    """Recorded candidates; one in two parts is the same in both (a compaction was cut off)."""
    found: dict[int, Row] = {}
    for row in (row for rows in parts.values() for row in rows):
        assert found.setdefault(row["seed"], row) == row
    return found


def kill(run: Run, process: "subprocess.Popen[str]", victims: str, requests: int, later: float) -> float:
    """When so many requests were sent or answered; the moment. Who is left alone goes on or ends with its parent."""
    while len(run.requests()) < requests:
        assert process.poll() is None, run.lines()[-3000:]
        time.sleep(0.01)
    time.sleep(later)
    servers, moment = children_of(process.pid), time.monotonic()
    for pid in [*servers * (victims != "client"), *[process.pid] * (victims != "server")]:
        os.kill(pid, signal.SIGKILL)
    if victims != "server":
        process.wait(10)
        wait_until(lambda: not any(members(s) for s in servers), 30)
    return moment


def assert_lost_little(run: Run, moment: float, kept: dict[int, Row]) -> None:
    """What was answered and not recorded when the client was killed is no older than one flush interval."""
    interval = PART_SECONDS + TICK_S + SLACK_S[run.engine]
    for at, kind, seed, n in run.requests():
        if kind == "answered" and float(at) < moment - interval:
            assert {*range(int(seed), int(seed) + int(n))} <= kept.keys()


def assert_unchanged(run: Run, before: dict[str, list[Row]]) -> None:
    """Parts stay as they are, or went into larger ones row by row."""
    after = run.parts()
    rows = by_seed(after)
    for name, old in before.items():
        assert after.get(name, old) == old
        assert all(rows[row["seed"]] == row for row in old)


def assert_paid_once(run: Run, kept: Sequence[int]) -> None:
    """In the last start nothing recorded was asked, and nothing was answered twice."""
    assert not run.seeds("asked").keys() & set(kept)
    assert set(run.seeds("answered").values()) <= {1}


@pytest.mark.parametrize(("number", "victims", "share", "later"), KILLS)
def test_killed_at_a_random_moment(
    whole: Run, model: Path, tmp_path: Path, number: int, victims: str, share: float, later: float
) -> None:
    run = run_on(model, tmp_path)
    process = run.start()
    moment = kill(run, process, victims, int(len(whole.requests()) * share * VICTIMS[victims]), later)
    before = run.parts()
    if victims != "server":
        assert_lost_little(run, moment, by_seed(before))
        process = run.start()
    run.wait(process)
    if victims == "server":
        assert "starts anew" in run.lines()
    assert_paid_once(run, [] if victims == "server" else list(by_seed(before)))
    assert "waits for" not in run.lines()
    assert_unchanged(run, before)
    assert_complete(run)
    assert digest(run) == digest(whole)


def digest(run: Run) -> str:
    return digest_table(run.shards().to_arrow(), frozenset({"latency_ms"}))


def test_with_real_vllm(model: Path, tmp_path: Path) -> None:
    """The client; then the server, whom the client starts anew; then both."""
    run = run_on(model, tmp_path, "vllm")
    kept: dict[int, Row] = {}
    for victims, requests in [("client", 160), ("server", 60), ("both", 120)]:
        if victims != "both":
            process = run.start()
        moment = kill(run, process, victims, requests, 0.1)
        before = run.parts()
        if victims != "server":
            assert_lost_little(run, moment, by_seed(before))
            assert_paid_once(run, list(kept))
            assert_unchanged(run, {"": list(kept.values())})
            kept = by_seed(before)
    run.wait(run.start())
    assert_paid_once(run, list(kept))
    assert_unchanged(run, {"": list(kept.values())})
    assert_complete(run)
