"""The lineage page holds what the recipe's refs reach now, however much came before."""

from pathlib import Path

from r1data.inspect.graph import read_graph
from r1data.refs import list_refs, resolve
from r1data.report.lineage_page import write_lineage
from tests.r1data.inspect.tiny_lake import make_lake, run_in


def test_the_page_is_of_now(tmp_path: Path) -> None:
    lake = run_in(make_lake(tmp_path), mark="!")
    made = {ref.removeprefix("tiny/"): resolve(lake, ref) for ref in list_refs(lake)}
    name = write_lineage(lake, "tiny", made)
    assert name == "reports/tiny/lineage.html"
    page = lake.read(name).decode()
    last = max(made.values(), key=lambda m: m.finished)
    assert f"Lineage of {last.name}" in page
    assert resolve(lake, "tiny/problems").digest[:12] in page
    whole, now = read_graph(lake), read_graph(lake, only=list_refs(lake))
    assert set(now.points) >= {m.path for m in made.values()}
    assert set(now.points) < set(whole.points)
    assert now.earlier == {}
