"""How many requests a lake on S3 costs, by kind: docs/s3.md has the table. None of these lists more than `refs/`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from r1data.lineage import commit
from r1data.manifest import Manifest, read_manifest, read_rows
from r1data.pins import pinned
from r1data.plan import PlanLine, finished, plan
from r1data.recipe import load_recipe
from r1data.refs import move_ref, read_ref, resolve
from r1data.stages import graph
from r1data.step import Node
from r1data.steps.reviewed import ReviewedParams
from r1data.storage import ASKED_ONE_BY_ONE, Lake
from tests.r1data.sharded import RECIPE, nodes, run_in, runner
from tests.running import ended
from tests.s3 import Proxy, environment

Counts = dict[str, int]


@pytest.fixture
def one_row_a_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many shards as documents."""
    monkeypatch.setattr("r1data.runner.SHARD_ROWS", 1)


def counted(proxy: Proxy, work: Callable[[], object]) -> Counts:
    """The requests of some work, by kind."""
    with proxy.counted() as found:
        work()
    return dict(found)


def mapped(proxy: Proxy, bucket: str, documents: int, mark: str = "!", checked: bool = False) -> Counts:
    """The requests of the map node alone."""
    runs, (source, node) = runner(proxy.lake(bucket), checked), nodes(documents, mark)
    runs.run(source)
    return counted(proxy, lambda: runs.run(node))


def one_more(few: Counts, many: Counts, shards: int) -> dict[str, float]:
    """What each further shard costs, and nothing else may differ."""
    return {k: (many.get(k, 0) - few.get(k, 0)) / shards for k in sorted(few | many) if many.get(k) != few.get(k)}


@pytest.mark.usefixtures("one_row_a_shard")
@pytest.mark.parametrize("checked", [False, True], ids=["without checks", "checked"])
def test_a_shard_of_a_map_node(proxy: Proxy, checked: bool) -> None:
    few, many = (mapped(proxy, f"map-{n}-{checked:d}", n, checked=checked) for n in (2, 6))
    # its pointer (not there), its input; the shard and its pointer; the commit looks for it. Checks open it.
    assert one_more(few, many, 4) == {"GET": 2 + checked, "HEAD": 1 + checked, "PUT": 2}
    assert "LIST" not in many
    # manifest before and after, ref; manifest, two events, the note that the attempt goes on, card, ref
    rest = {k: n - 2 * {"GET": 2 + checked, "HEAD": 1 + checked, "PUT": 2}.get(k, 0) for k, n in few.items()}
    assert rest["GET"] <= 3
    assert rest["PUT"] <= 6
    assert rest["DELETE"] == 1
    assert rest["HEAD"] == 0


@pytest.mark.usefixtures("one_row_a_shard")
def test_the_commit_of_many_shards_lists_their_folder(proxy: Proxy) -> None:
    few, many = (mapped(proxy, f"many-{n}", n) for n in (ASKED_ONE_BY_ONE + 1, ASKED_ONE_BY_ONE + 5))
    assert one_more(few, many, 4) == {"GET": 2, "PUT": 2}
    assert (many["LIST"], "HEAD" in many) == (1, False)


def test_what_is_missing_is_said_however_many(proxy: Proxy, tmp_path: Path) -> None:
    for lake in (proxy.lake("missing"), Lake.open(str(tmp_path / "lake"))):
        names = [f"data/a/{i}.parquet" for i in range(ASKED_ONE_BY_ONE + 3)]
        for name in names[1:]:
            lake.write(name, b"x")
        lake.write("data/a-of-another/0.parquet", b"x")
        assert lake.missing(names) == names[:1]
        assert lake.missing([names[0], names[1], "data/b/none"]) == [names[0], "data/b/none"]
        assert lake.missing([]) == []


@pytest.mark.usefixtures("one_row_a_shard")
def test_a_shard_that_is_there_is_not_read(proxy: Proxy) -> None:
    few, many = (mapped(proxy, f"reuse-{n}", n + 1) for n in (2, 6) if mapped(proxy, f"reuse-{n}", n))
    # of each shard found its pointer, and twice whether it is there
    assert one_more(few, many, 4) == {"GET": 1, "HEAD": 2}


@pytest.mark.usefixtures("one_row_a_shard")
def test_a_finished_node_costs_two_reads_however_many_shards(proxy: Proxy) -> None:
    lake = proxy.lake("skip")
    for documents in (2, 7):
        run_in(lake, documents=documents)
        assert mapped(proxy, "skip", documents) == {"GET": 2}, "manifest and ref"


@pytest.mark.usefixtures("one_row_a_shard")
def test_reading_is_one_request_a_shard(proxy: Proxy) -> None:
    lake = proxy.lake("read")
    run_in(lake, documents=5)
    manifest = resolve(lake, f"{RECIPE}/marked")
    assert counted(proxy, lambda: read_rows(lake, manifest)) == {"GET": 5}
    assert counted(proxy, lambda: list(lake.batches(manifest.shards[0].path, ["text"]))) == {"HEAD": 1, "GET": 1}


def test_moving_a_ref(proxy: Proxy) -> None:
    lake = proxy.lake("move")
    run_in(lake)
    old = resolve(lake, f"{RECIPE}/marked")
    assert counted(proxy, lambda: move_ref(lake, f"{RECIPE}/new", old)) == {"GET": 1, "PUT": 1}
    assert counted(proxy, lambda: move_ref(lake, f"{RECIPE}/new", old)) == {"GET": 1}, "it is there already"
    other = read_manifest(lake, resolve(lake, f"{RECIPE}/documents").path)
    assert counted(proxy, lambda: move_ref(lake, f"{RECIPE}/new", other)) == {"GET": 1, "PUT": 1}
    assert counted(proxy, lambda: resolve(lake, f"{RECIPE}/new")) == {"GET": 2}
    assert len(read_ref(lake, f"{RECIPE}/new").history) == 1


def test_status_is_one_listing_of_the_refs_and_two_reads_each(proxy: Proxy, tmp_path: Path) -> None:
    lake = proxy.lake("status")
    run_in(lake, documents=4)
    for n in range(5):
        lake.write(f"data/other/{n}/part.parquet", b"x")
    with proxy.counted() as found:
        status, out = ended(["status"], lake.url, tmp_path, environment(proxy.url))
    assert status == 0, out
    assert dict(found) == {"LIST": 1, "GET": 2 * 2}
    assert [r.name for r in proxy.seen if r.kind == "LIST"] == ["lake/refs/"]


def test_the_plan_of_a_finished_recipe_reads_each_manifest_once(proxy: Proxy) -> None:
    lake, recipe = proxy.lake("plan"), load_recipe("smoke")
    done: dict[str, Manifest] = {}
    for node in graph(pinned(recipe)):
        done[node.name] = committed(lake, recipe.name, node, done)
    lines: list[PlanLine] = []
    made = counted(proxy, lambda: lines.extend(plan(lake, recipe)))
    assert finished(lines)
    reviewed = sum(isinstance(n.params, ReviewedParams) for n in graph(recipe))
    assert made == {"GET": len(lines) + reviewed}, "and the review of the cold-start set"


def committed(lake: Lake, recipe: str, node: Node, done: dict[str, Manifest]) -> Manifest:
    """A manifest of nothing where the node's would be."""
    key = node.key({role: done[name].digest for role, name in node.inputs.items()})
    draft = Manifest(
        kind="dataset", name=f"{recipe}/{node.name}", path=node.folder(key), key=key, step="s", version="1", digest=key
    )
    return commit(lake, draft)
