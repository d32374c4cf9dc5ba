"""OpenLineage events of a run: valid by the official schemas, one run id an attempt, START first, an end always."""

import json
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from r1data.errors import CheckFailed, RunStopped, StageFailed
from r1data.launch import TrainingJob
from r1data.manifest import Manifest
from r1data.refs import resolve
from r1data.runner import Runner
from r1data.step import Node
from r1data.storage import Lake
from tests.openlineage_schemas import check_event
from tests.r1data.inspect.tiny_lake import RECIPE, Services, make_lake, nodes

Event = dict[str, Any]


def events(lake: Lake) -> list[Event]:
    """Oldest first, as their names say."""
    return [json.loads(lake.read(n)) for n in lake.names("lineage")]


def of(lake: Lake, node: str) -> list[Event]:
    return [e for e in events(lake) if e["job"]["name"] == f"{RECIPE}/{node}"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("events") / "lake")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


def failing(lake: Lake, node: str, error: BaseException) -> Runner:
    """A runner whose services fail at a node."""

    class Failing(Services):
        def train(self, node_: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
            if node_.name == node:
                raise error
            super().train(node_, key, inputs)

        def check(self, node_: Node, rows: Callable[[], Any]) -> tuple[dict[str, object], ...]:
            if node_.name == node:
                raise error
            return super().check(node_, rows)

    return Runner(lake, RECIPE, Failing(lake), report=lambda _: None)


def test_every_event_is_valid_by_the_official_schemas(whole: Lake) -> None:
    found = events(whole)
    assert len(found) == 2 * len(nodes())
    for event in found:
        check_event(event)


def test_the_schemas_refuse_what_is_wrong(whole: Lake) -> None:
    event = events(whole)[-1]
    wrong: list[Event] = [
        {**event, "eventTime": "yesterday"},
        {**event, "run": {"runId": "7"}},
        {**event, "job": {"name": "x"}},
        {**event, "run": {**event["run"], "facets": {"parent": {**event["run"]["facets"]["parent"], "run": {}}}}},
    ]
    for bad in wrong:
        with pytest.raises(jsonschema.ValidationError):
            check_event(bad)


@pytest.mark.parametrize("node", ["problems", "cold_start/candidates", "zero"])
def test_start_and_complete_share_a_run_and_name_its_parent(whole: Lake, node: str) -> None:
    start, complete = of(whole, node)
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert uuid.UUID(start["run"]["runId"]).version == 7
    parents = {e["run"]["facets"]["parent"]["run"]["runId"] for e in events(whole)}
    assert len(parents) == 1
    assert start["eventTime"] < complete["eventTime"]


def test_names_are_in_the_order_of_time(whole: Lake) -> None:
    times = [e["eventTime"] for e in events(whole)]
    assert times == sorted(times)


def test_a_commit_tells_what_it_wrote(whole: Lake) -> None:
    made = of(whole, "cold_start")[1]
    (output,) = made["outputs"]
    manifest = resolve(whole, "tiny/cold_start")
    facets = output["facets"]
    size = manifest.shards[0].bytes
    told = {k: v for k, v in output["outputFacets"]["outputStatistics"].items() if not k.startswith("_")}
    assert told == {"rowCount": 1, "size": size, "fileCount": 1}
    assert facets["version"]["datasetVersion"] == manifest.digest
    assert facets["dataSource"]["uri"] == whole.uri(manifest.path)
    assert "example_id" in {f["name"] for f in facets["schema"]["fields"]}
    assert [a["success"] for a in facets["dataQualityAssertions"]["assertions"]] == [True]
    assert (output["namespace"], output["name"]) == ("file", whole.path(manifest.path))
    assert made["job"]["facets"]["sourceCodeLocation"]["path"] == "tests/r1data/inspect/tiny_lake.py"
    assert made["job"]["facets"]["jobType"]["jobType"] == "make_examples"


def test_inputs_are_the_outputs_of_other_runs(whole: Lake) -> None:
    written = {(o["namespace"], o["name"]) for e in events(whole) for o in e.get("outputs", [])}
    read = {(i["namespace"], i["name"]) for e in events(whole) for i in e.get("inputs", [])}
    assert read
    assert read <= written


def test_a_skipped_node_writes_nothing(whole: Lake) -> None:
    before = whole.names("lineage")
    make_lake(Path(whole.url))
    assert whole.names("lineage") == before


@pytest.mark.parametrize("node", ["problems", "base"], ids=["dataset", "training"])
def test_a_failure_is_told_and_the_next_attempt_is_another_run(lake: Lake, node: str) -> None:
    wanted = next(n for n in nodes() if n.name == node)
    error = StageFailed("the disk is full", "free some")
    with pytest.raises(StageFailed):
        failing(lake, node, error).run(wanted)
    start, fail = events(lake)
    check_event(fail)
    assert (start["eventType"], fail["eventType"]) == ("START", "FAIL")
    assert start["run"]["runId"] == fail["run"]["runId"]
    told = fail["run"]["facets"]["errorMessage"]
    assert told["message"].startswith("StageFailed: the disk is full")
    assert "Traceback" in told["stackTrace"]
    Runner(lake, RECIPE, Services(lake), report=lambda _: None).run(wanted)
    again = events(lake)[2:]
    assert [e["eventType"] for e in again] == ["START", "COMPLETE"]
    assert again[0]["run"]["runId"] != start["run"]["runId"]


def test_a_stop_is_an_abort(lake: Lake) -> None:
    with pytest.raises(RunStopped):
        failing(lake, "base", RunStopped("stopped")).run(next(n for n in nodes() if n.name == "base"))
    assert [e["eventType"] for e in events(lake)] == ["START", "ABORT"]


def test_a_store_that_refuses_the_event_does_not_hide_the_error(lake: Lake) -> None:
    error = CheckFailed("expectation")
    runner = failing(lake, "problems", error)
    root = Path(lake.path("lineage"))

    def check(node: Node, rows: Callable[[], Any]) -> tuple[dict[str, object], ...]:
        for day in root.iterdir():
            for file in day.iterdir():
                file.unlink()
            day.rmdir()
        root.rmdir()
        root.write_text("a file where the folder was")
        raise error

    runner.services.check = check  # type: ignore[method-assign]
    with pytest.raises(CheckFailed) as caught:
        runner.run(nodes()[0])
    assert "lineage event" in caught.value.__notes__[0]


def test_the_flow_run_of_prefect_is_the_parent(lake: Lake) -> None:
    flow = str(uuid.uuid4())
    labels = {"prefect_flow_run": flow}
    Runner(lake, RECIPE, Services(lake), labels, report=lambda _: None).run(nodes()[0])
    for event in events(lake):
        assert event["run"]["facets"]["parent"]["run"]["runId"] == flow
        assert event["run"]["facets"]["parent"]["job"]["name"] == RECIPE


def test_a_training_process_is_told_its_run(lake: Lake) -> None:
    told: list[list[str]] = []

    class Launching(Services):
        def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
            from r1data.events import RUN

            job = TrainingJob("m", "r", node.name, "l", key, Path("s"), run=RUN.get())
            told.append(job.arguments())
            super().train(node, key, inputs)

    Runner(lake, RECIPE, Launching(lake), report=lambda _: None).run(next(n for n in nodes() if n.name == "base"))
    (arguments,) = told
    start = events(lake)[0]
    assert arguments[arguments.index("--run-id") + 1] == start["run"]["runId"]
    assert arguments[arguments.index("--parent-run-id") + 1] == start["run"]["facets"]["parent"]["run"]["runId"]
