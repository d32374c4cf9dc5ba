"""The lease: waited for, refused, taken from the dead, left to the living; and two runs at once pay for all once."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import polars as pl
import pytest

from r1data import lease as module
from r1data.endpoint import Endpoint
from r1data.errors import LeaseHeld, RunStopped, StorageError, StoreUnavailable
from r1data.generate.candidates import candidates
from r1data.generate.pool import Pool
from r1data.generate.router import Backend
from r1data.generate.sampling import Identity, Prompt
from r1data.generate.server import SERVED_NAME, Server
from r1data.lease import lease
from r1data.manifest import Manifest
from r1data.run import Session
from r1data.sampling_params import SamplingParams
from r1data.settings import Settings
from r1data.storage import Lake
from tests.running import desk

NAME = "calls/x"
PATH = f"leases/{NAME}.json"
EXPIRES_S = 0.4
PROMPTS = [Prompt(f"p{i}", f"User: {10 + i}+23=? Assistant: ") for i in range(20)]
SAMPLING = SamplingParams(samples=8, temperature=1.0, max_tokens=64)


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute is a second here."""
    times = {"RENEWED_S": 0.05, "EXPIRES_S": EXPIRES_S, "LOOK_S": 0.02, "SETTLED_S": 0.01}
    for name, seconds in times.items():
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture(params=["local", "objects"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """An empty lake of files, and one of objects without folders or renames, as on S3."""
    return Lake.open(str(tmp_path / "lake") if request.param == "local" else f"memory://{uuid4().hex}")


def held_elsewhere(lake: Lake, renewed: float) -> None:
    """As another machine writes it."""
    told = {"owner": "other", "host": "elsewhere/boot", "pid": 7, "process_started": "1", "renewed": renewed}
    lake.write(PATH, json.dumps(told).encode())


def taken_at_once(lake: Lake) -> bool:
    with lease(lake, NAME, print, wait=False):
        return bool(json.loads(lake.read(PATH))["pid"] == os.getpid())


def test_it_is_waited_for_and_removed_at_the_end(place: Lake) -> None:
    told: list[str] = []
    order: list[str] = []

    def second() -> None:
        with lease(place, NAME, told.append):
            order.append("second")

    thread = threading.Thread(target=second)
    with lease(place, NAME, print):
        thread.start()
        time.sleep(3 * EXPIRES_S)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"], "it was renewed"
    assert len(told) == 1
    assert f"waits for process {os.getpid()} on " in told[0]
    assert place.names("leases") == []


def test_who_does_not_wait_is_told_who_holds_it(place: Lake) -> None:
    with lease(place, NAME, print), pytest.raises(LeaseHeld, match=f"{NAME}.json: held by process {os.getpid()} on "):
        with lease(place, NAME, print, wait=False):
            pass
    assert taken_at_once(place)


def test_it_is_released_by_an_error(place: Lake) -> None:
    with pytest.raises(KeyError), lease(place, NAME, print):
        raise KeyError
    assert place.names("leases") == []


@pytest.mark.parametrize("reaped", [True, False])
def test_one_of_a_killed_process_of_this_machine_is_taken_at_once(lake: Lake, reaped: bool) -> None:
    code = (
        "import time; from r1data.lease import lease; from r1data.storage import Lake\n"
        f"with lease(Lake.open({lake.url!r}), {NAME!r}, print): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        with pytest.raises(LeaseHeld, match=f"process {owner.pid} "):
            taken_at_once(lake)
        owner.send_signal(signal.SIGKILL)
        if reaped:
            owner.wait(10)
        else:
            os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
        assert taken_at_once(lake)


@pytest.mark.parametrize("ahead", [-3600, 0, 3600], ids=["clock behind", "clock right", "clock ahead"])
def test_one_that_is_not_renewed_is_taken_whatever_its_clock_says(place: Lake, ahead: float) -> None:
    held_elsewhere(place, time.time() + ahead)
    started = time.monotonic()
    with lease(place, NAME, print):
        assert time.monotonic() - started > EXPIRES_S


def test_a_wait_ends_when_the_run_is_stopped(place: Lake) -> None:
    held_elsewhere(place, time.time())
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(RunStopped, match="waited for process 7"), lease(place, NAME, print, stopped=stopped):
        pass


def test_one_that_another_machine_renews_is_respected(place: Lake) -> None:
    ended: list[float] = []

    def renew() -> None:
        for _ in range(20):
            time.sleep(0.06)
            held_elsewhere(place, time.time())
        ended.append(time.monotonic())

    held_elsewhere(place, time.time())
    with pytest.raises(LeaseHeld, match="held by process 7 on elsewhere/boot"):
        taken_at_once(place)
    other = threading.Thread(target=renew)
    other.start()
    with lease(place, NAME, print):
        assert ended, "not before it was given up"
        assert time.monotonic() - ended[0] > EXPIRES_S / 2
    other.join()


@pytest.mark.parametrize("torn", [b"", b'{"owner": "oth', b"[]", b"\xff\xfe\x00", b"\x00" * 64])
def test_a_torn_one_is_nobodys(place: Lake, torn: bytes) -> None:
    place.write(PATH, torn)
    assert taken_at_once(place)


def test_one_that_another_took_is_not_removed(place: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWED_S", 60.0)
    with lease(place, NAME, print):
        held_elsewhere(place, time.time())
    assert place.names("leases") == [PATH]


@pytest.mark.parametrize("fault", [StorageError("refused"), StoreUnavailable("away")], ids=["refused", "away"])
def test_a_release_that_fails_fails_no_work(
    place: Lake, monkeypatch: pytest.MonkeyPatch, fault: StorageError | StoreUnavailable
) -> None:
    """It is left to expire, as that of one that was killed."""

    def away(self: Lake, name: str) -> None:
        raise fault

    with monkeypatch.context() as patched, lease(place, NAME, print):
        patched.setattr(Lake, "delete", away)
    assert place.names("leases") == [PATH]
    began = time.monotonic()
    with lease(place, NAME, print):
        assert time.monotonic() - began > EXPIRES_S / 2
    assert place.names("leases") == []


def test_a_write_that_fails_once_ends_no_renewal(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    write, failed = Lake.write, threading.Event()

    def failing(self: Lake, name: str, data: bytes) -> None:
        if not failed.is_set():
            failed.set()
            raise StorageError("store: 503", "try again")
        write(self, name, data)

    with lease(lake, NAME, print):
        monkeypatch.setattr(Lake, "write", failing)
        assert failed.wait(10)
        before = lake.read(PATH)
        deadline = time.monotonic() + 10
        while lake.read(PATH) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lake.read(PATH) != before, "renewed again"


def test_two_runs_at_once_pay_for_all_once(lake: Lake, server: Server, model: Manifest) -> None:
    begun, waits = threading.Event(), threading.Event()
    told: list[str] = []
    found: dict[str, pl.DataFrame] = {}

    @contextmanager
    def servers() -> Iterator[Sequence[Backend]]:
        begun.set()
        assert waits.wait(20), "the second sees the first"
        yield [Backend(Endpoint(server.url, SERVED_NAME))]

    def report(line: str) -> None:
        told.append(line)
        waits.set()

    def run(name: str, report: Callable[[str], None]) -> None:
        shards = candidates(replace(desk(lake), report=report), servers, model, PROMPTS, SAMPLING, "t")
        found[name] = pl.concat(shards)

    first = threading.Thread(target=run, args=("first", print))
    first.start()
    assert begun.wait(10)
    run("second", report)
    first.join()
    assert [f"waits for process {os.getpid()}" in line for line in told] == [True]
    assert found["first"].equals(found["second"])
    pool = Pool(lake, Identity(model.digest, SAMPLING.digest(), "t"), model)
    recorded = Counter(i for t in pool.tables() for i in t["candidate_id"].to_pylist())
    assert set(recorded.values()) == {1}
    assert recorded.total() == len(PROMPTS) * SAMPLING.samples


def test_a_run_told_to_refuse_says_no(lake: Lake, server: Server, model: Manifest, tmp_path: Path) -> None:
    told = {"R1_LEASE": "refuse", "R1_ENGINE": "fake", "R1_SCRATCH": str(tmp_path / "scratch")}
    pool = Identity(model.digest, SAMPLING.digest(), "t").pool
    with Session("smoke", Settings.from_environment(told, lake.url), print) as session, lease(lake, pool, print):
        servers = lambda: nullcontext([Backend(Endpoint(server.url, SERVED_NAME))])  # noqa: E731
        with pytest.raises(LeaseHeld, match=r"wait for it to end, or let this run wait \(R1_LEASE=wait\)"):
            list(candidates(session.services.desk, servers, model, PROMPTS, SAMPLING, "t"))
        assert not session.runner.wait_for_lease, "trainings, too"
