"""Lineage of what was killed: a run without an end gets its ABORT, a lost COMPLETE is written as it would have been."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from r1data.ends import write_ends
from r1data.errors import StoreUnavailable
from r1data.events import ATTEMPTS, Note
from r1data.manifest import Manifest
from r1data.refs import resolve
from r1data.runner import Runner
from r1data.step import Node
from r1data.storage import Lake
from tests.openlineage_schemas import check_event
from tests.r1data.inspect.tiny_lake import RECIPE, Services, nodes

KILLED = """
import os, signal, sys
from r1data.runner import Runner
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import RECIPE, Services, nodes

class Killed(Services):
    def train(self, node, key, inputs):
        os.kill(os.getpid(), signal.SIGKILL)

lake = Lake.open(sys.argv[1])
base = next(n for n in nodes() if n.name == "base")
Runner(lake, RECIPE, Killed(lake), {"prefect_flow_run": sys.argv[2]}).run(base)
"""
FLOW_RUN = "0190f0e0-0000-7000-8000-000000000001"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


@pytest.fixture
def killed(lake: Lake) -> Lake:
    """A lake in which a process was killed while it trained `base`."""
    ended = subprocess.run([sys.executable, "-c", KILLED, lake.url, FLOW_RUN], timeout=120)
    assert ended.returncode == -signal.SIGKILL
    return lake


def kinds(lake: Lake) -> list[str]:
    """The types of all events, oldest first, each valid."""
    found = [json.loads(lake.read(n)) for n in lake.names("lineage")]
    for event in found:
        check_event(event)
    return [e["eventType"] for e in found]


def quiet(_: str) -> None:
    """Say nothing."""


def test_a_killed_process_leaves_a_start_and_the_next_run_its_abort(killed: Lake) -> None:
    assert kinds(killed) == ["START"]
    said: list[str] = []
    assert write_ends(killed, report=said.append) == 1
    assert kinds(killed) == ["START", "ABORT"]
    start, abort = (json.loads(killed.read(n)) for n in killed.names("lineage"))
    assert abort["run"]["runId"] == start["run"]["runId"]
    assert abort["run"]["facets"]["parent"] == start["run"]["facets"]["parent"]
    assert "its process was killed" in abort["run"]["facets"]["errorMessage"]["message"]
    assert said == [f"tiny/base: its process is gone: ABORT of run {abort['run']['runId']} written"]
    assert (write_ends(killed), killed.names(ATTEMPTS)) == (0, [])
    base = next(n for n in nodes() if n.name == "base")
    Runner(killed, RECIPE, Services(killed), report=quiet).run(base)
    assert kinds(killed) == ["START", "ABORT", "START", "COMPLETE"]
    assert killed.names(ATTEMPTS) == []


def test_a_start_that_was_lost_too_is_written(killed: Lake) -> None:
    (start,) = killed.names("lineage")
    before = killed.read(start)
    killed.delete(start)
    assert write_ends(killed, report=quiet) == 1
    assert kinds(killed) == ["START", "ABORT"]
    assert killed.read(start) == before


def test_of_another_machine_only_who_knows_that_it_is_gone_says_so(killed: Lake) -> None:
    (name,) = killed.names(ATTEMPTS)
    note = Note.model_validate_json(killed.read(name))
    elsewhere = note.model_copy(update={"process": {**note.process, "host": "far/away"}})
    killed.write(name, elsewhere.model_dump_json().encode())
    assert write_ends(killed, report=quiet) == 0
    assert write_ends(killed, lambda n: n.run.parent == "another flow run", quiet) == 0
    assert kinds(killed) == ["START"]
    assert write_ends(killed, lambda n: n.run.parent == FLOW_RUN, quiet) == 1
    assert kinds(killed) == ["START", "ABORT"]


def test_what_lives_is_left_alone_and_a_strange_note_is_said(lake: Lake) -> None:
    said: list[str] = []

    class Looking(Services):
        def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
            lake.write(f"{ATTEMPTS}/strange.json", b"{")
            assert write_ends(lake, report=said.append) == 0
            super().train(node, key, inputs)

    Runner(lake, RECIPE, Looking(lake), report=quiet).run(next(n for n in nodes() if n.name == "base"))
    assert kinds(lake) == ["START", "COMPLETE"]
    assert ["not the note of an attempt" in line for line in said] == [True]


@pytest.mark.parametrize("node", ["problems", "base"], ids=["dataset", "training"])
def test_a_complete_that_the_store_refused_is_written_as_it_was(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, node: str
) -> None:
    wanted = next(n for n in nodes() if n.name == node)
    refused: dict[str, bytes] = {}
    write = Lake.write

    def refusing(self: Lake, name: str, data: bytes) -> None:
        if name.endswith("-complete.json"):
            refused[name] = data
            raise StoreUnavailable("away")
        write(self, name, data)

    with monkeypatch.context() as store:
        store.setattr(Lake, "write", refusing)
        with pytest.raises(StoreUnavailable):
            Runner(lake, RECIPE, Services(lake), report=quiet).run(wanted)
    assert kinds(lake) == ["START"], "it has not failed: it is committed"
    _, skipped = Runner(lake, RECIPE, Services(lake), report=quiet).run(wanted)
    assert skipped
    before = resolve(lake, f"{RECIPE}/{node}")
    assert write_ends(lake, lambda _: False, quiet) == 1
    ((name, data),) = refused.items()
    assert lake.read(name) == data
    assert kinds(lake) == ["START", "COMPLETE"]
    assert (resolve(lake, f"{RECIPE}/{node}"), write_ends(lake)) == (before, 0)
