"""What is downstream of a ref, a content, a source and a row; what refs pointed to before counts."""

from pathlib import Path

import polars as pl
import pytest

from r1data.errors import CorruptShard, LakeError
from r1data.inspect import followed
from r1data.inspect.graph import Graph, read_graph
from r1data.inspect.impact import impact
from r1data.manifest import MANIFEST, Manifest
from r1data.params import Params
from r1data.refs import move_ref, resolve
from r1data.runner import Runner
from r1data.step import Node, Step
from r1data.storage import Lake
from schemas import TABLES
from tests.r1data.cli.test_cli import Typed, r1
from tests.r1data.inspect.tiny_lake import RECIPE, Services, filled, make_lake, nodes

__all__ = ["r1"]
EVAL = {f"tiny/eval/{n}{t}" for n in ("zero", "dev1") for t in ("", "/candidates", "/verdicts", "/measures")}
BELOW_ZERO = {"tiny/cold_start", "tiny/dev1"} | {f"tiny/cold_start/{t}" for t in ("candidates", "drops", "verdicts")}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("impact") / "lake")


@pytest.fixture(scope="module")
def graph(lake: Lake) -> Graph:
    return read_graph(lake)


def names(lake: Lake, graph: Graph, what: str) -> set[str]:
    return {t.point.name for t in impact(lake, graph, what).touched}


def rows(lake: Lake, graph: Graph, what: str) -> dict[str, int | None]:
    return {t.point.name: t.rows for t in impact(lake, graph, what).touched}


def test_the_graph_has_every_directory_once_inputs_first(lake: Lake, graph: Graph) -> None:
    assert len(graph.points) == len(nodes())
    place = {path: i for i, path in enumerate(graph.order)}
    assert all(place[a.path] < place[p.path] for p in graph.points.values() for a in p.parents)
    assert graph.depths[resolve(lake, "tiny/problems").path] == 0
    assert graph.depths[resolve(lake, "tiny/zero").path] == 1


def test_downstream_of_a_ref(lake: Lake, graph: Graph) -> None:
    assert names(lake, graph, "tiny/cold_start") == {"tiny/dev1", *(n for n in EVAL if "dev1" in n)}
    assert names(lake, graph, "tiny/zero") == BELOW_ZERO | EVAL | {"tiny/cold_start/measures"}
    assert names(lake, graph, "tiny/eval/dev1") == set()


def test_downstream_of_a_digest(lake: Lake, graph: Graph) -> None:
    digest = resolve(lake, "tiny/cold_start").digest
    assert names(lake, graph, digest[:8]) == names(lake, graph, "tiny/cold_start")


def test_a_row_touches_what_names_it_and_what_was_trained_on_it(lake: Lake, graph: Graph) -> None:
    found = rows(lake, graph, "candidate-1")
    assert found["tiny/cold_start"] == 1
    assert found["tiny/cold_start/verdicts"] == 1
    assert "tiny/cold_start/drops" not in found
    assert found["tiny/dev1"] is None
    assert "tiny/zero" not in found
    assert found["tiny/eval/dev1/candidates"] is None
    assert "tiny/eval/zero/candidates" not in found


def test_a_dropped_row_reaches_no_checkpoint(lake: Lake, graph: Graph) -> None:
    found = rows(lake, graph, "candidate-2")
    assert found["tiny/cold_start/drops"] == 1
    assert not {"tiny/cold_start", "tiny/dev1"} & found.keys()


def test_a_problem_touches_a_checkpoint_only_if_it_practised_it(lake: Lake, graph: Graph) -> None:
    assert rows(lake, graph, "problem-1")["tiny/zero"] is None
    second = rows(lake, graph, "problem-2")
    assert "tiny/zero" not in second
    assert second["tiny/cold_start/candidates"] == 2
    assert second["tiny/eval/base"] is None


def test_what_a_ref_pointed_to_before_counts(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    old = resolve(lake, "tiny/problems")
    make_lake(tmp_path / "lake", mark="!")
    graph = read_graph(lake)
    assert len(graph.points) > len(nodes())
    found = impact(lake, graph, "problem-1").touched
    held = {t.point.path: (t.refs, t.earlier) for t in found if t.point.name == "tiny/problems"}
    assert held[old.path] == ((), ("tiny/problems",))
    assert (("tiny/problems",), ()) in held.values()


def test_a_directory_that_is_gone_is_no_error(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    gone = resolve(lake, "tiny/cold_start/drops").path
    Path(lake.path(f"{gone}/{MANIFEST}")).unlink()
    graph = read_graph(lake)
    assert graph.points[gone].kind == "gone"
    assert "tiny/cold_start" in names(lake, graph, resolve(lake, "tiny/zero").digest[:12])


class Sources(Params):
    """Like the parameters of the recipe's problems."""

    sources: tuple[dict[str, str], ...]


def with_sources(lake: Lake) -> Manifest:
    """Problems of two sources, and the candidates of a model for them."""

    def made(*, params: Sources) -> pl.DataFrame:
        told = [("p-file", "sums: /data/sums.jsonl"), ("p-rule", "rule")]
        return filled("problems", [{"problem_id": i, "source": s, "question": i} for i, s in told])

    params = Sources(sources=({"name": "sums", "url": "/data/sums.jsonl"}, {"name": "rule"}))
    runner = Runner(lake, RECIPE, Services(lake), report=lambda _: None)
    problems = Node("problems", "s", Step("problems_of", "1", "reduce", TABLES["problems"], made), params)

    def kept(*, params: Params, problems: pl.DataFrame) -> pl.DataFrame:
        found = problems.filter(pl.col("problem_id") == "p-rule")["problem_id"].to_list()
        return filled("sft_examples", [{"example_id": f"e-{i}", "parent_id": i, "problem_id": i} for i in found])

    examples = Step("kept", "1", "reduce", TABLES["sft_examples"], kept)
    train = Step("train", "1", "train", None)
    runner.run(problems)
    runner.run(Node("examples", "s", examples, Params(), {"problems": "problems"}))
    return runner.run(Node("model", "s", train, Params(), {"examples": "examples"}))[0]


def test_a_source_is_followed_by_name_and_by_file(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    with_sources(lake)
    graph = read_graph(lake)
    assert rows(lake, graph, "rule") == {"tiny/problems": 1, "tiny/examples": 1, "tiny/model": None}
    for name in ("sums", "sums.jsonl", "/data/sums.jsonl"):
        assert rows(lake, graph, name) == {"tiny/problems": 1}


def test_what_is_nothing_is_refused(lake: Lake, graph: Graph) -> None:
    with pytest.raises(LakeError, match="'nothing-here' is no ref, digest, source or row") as caught:
        impact(lake, graph, "nothing-here")
    assert caught.value.remedy
    with pytest.raises(LakeError, match="2 ids begin with problem-"):
        impact(lake, graph, "problem-")


def test_the_command_lists_refs_and_counts(r1: Typed, lake: Lake) -> None:
    code, out, _ = r1("impact", "candidate-1", "--lake", lake.url)
    assert code == 0
    lines = [line.split("  ") for line in out.splitlines()]
    assert any(x[0] == "tiny/cold_start" and "1 rows" in "".join(x) for x in lines)
    assert out.splitlines()[-1].startswith("row candidate-1: ")
    code, out, err = r1("impact", "nothing-here", "--lake", lake.url)
    assert (code, "remedy" in err) == (1, True)


def test_nothing_downstream_is_said(r1: Typed, lake: Lake) -> None:
    assert "nothing is downstream" in r1("impact", "tiny/eval/dev1", "--lake", lake.url)[1]


def test_two_recipes_that_share_a_content_share_its_impact(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    move_ref(lake, "other/cold_start", resolve(lake, "tiny/cold_start"))
    graph = read_graph(lake)
    assert names(lake, graph, "other/cold_start") == names(lake, graph, "tiny/cold_start")


def test_a_shard_that_cannot_be_read_is_said_not_skipped(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    shard = Path(lake.path(resolve(lake, "tiny/cold_start").shards[0].path))
    shard.write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(CorruptShard, match="cold_start"):
        impact(lake, read_graph(lake), "candidate-1")


@pytest.mark.parametrize("few", [0, 1])
def test_many_ids_are_followed_on_disk_as_few_in_memory(
    lake: Lake, graph: Graph, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {row: rows(lake, graph, row) for row in ("candidate-1", "candidate-2", "problem-1", "problem-2")}
    monkeypatch.setattr(followed, "FEW", few)
    assert {row: rows(lake, graph, row) for row in expected} == expected
