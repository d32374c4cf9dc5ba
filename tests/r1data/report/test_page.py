"""The page: whole, self-contained, and no word of a model is markup."""

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from r1data.errors import LakeError
from r1data.html import said
from r1data.manifest import MANIFEST
from r1data.refs import list_refs, move_ref, resolve
from r1data.report.funnel import funnel
from r1data.report.page import page, write_report
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import EVALUATED, make_lake

VOID = {"meta", "path", "use", "rect", "wbr"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return make_lake(tmp_path_factory.mktemp("page") / "lake")


@pytest.fixture(scope="module")
def text(lake: Lake) -> str:
    return page(lake, "tiny")


class Tags(HTMLParser):
    """Collects tags, ids and what opens without closing."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag."""
        self.seen.add(tag)
        self.ids += [v for k, v in attrs if k == "id" and v]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag that closes itself."""
        self.ids += [v for k, v in attrs if k == "id" and v]

    def handle_endtag(self, tag: str) -> None:
        """The last one opened is the one that closes."""
        if tag not in VOID:
            assert self.open.pop() == tag


def test_what_models_wrote_is_escaped(text: str) -> None:
    assert "<script" not in text
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&amp;amp;" in text
    assert "verdict: wrong &lt;b&gt;" in text


def test_nothing_is_fetched(text: str) -> None:
    assert set(re.findall(r"https?://[^\"'< ]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe|script)|@import|url\((?!#)", text)


def test_tags_close_in_order_and_ids_are_unique(text: str) -> None:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))


def test_plots_follow_light_and_dark(text: str) -> None:
    assert "prefers-color-scheme:dark" in text
    assert "var(--accent)" in text[text.index("<svg") :]


def test_sections_are_there(text: str) -> None:
    for title in ("Result", "Recipe", "Stages", "Cost", "Lineage"):
        assert f"<h2>{title}</h2>" in text
        assert f'<a href="#{title.lower()}">{title}</a>' in text
        assert f'<section id="{title.lower()}">' in text
    order = [text.index(f'id="stage-{name}"') for name in ("base", "zero", "cold_start", "dev1")]
    assert order == sorted(order)
    assert "reward: 0.2 to 1 over 5 steps" in text


def test_same_lake_same_page(lake: Lake, text: str) -> None:
    assert page(lake, "tiny") == text


def test_long_words_of_a_model_are_folded() -> None:
    assert said("short").startswith("<pre>")
    folded = said("<b>" + "long " * 200)
    assert folded.startswith("<details><summary>&lt;b&gt;long")
    assert "(1,003 characters)" in folded
    assert said("line\n" * 50).startswith("<details>")


def test_every_ref_and_manifest_is_read_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[str] = Counter()
    read, names = Lake.read, Lake.names

    def counted(self: Lake, name: str) -> bytes:
        asked[name] += 1
        return read(self, name)

    def listed(self: Lake, name: str = "") -> list[str]:
        asked[f"list {name}"] += 1
        return names(self, name)

    monkeypatch.setattr(Lake, "read", counted)
    monkeypatch.setattr(Lake, "names", listed)
    write_report(lake, "tiny")
    refs = [n for n in asked if n.startswith("refs/")]
    manifests = {n: times for n, times in asked.items() if n.endswith(MANIFEST)}
    assert len(refs) == len(list_refs(lake))
    assert asked["list refs"] == 2, "one is this test's"
    # histories of evaluations are looked up besides, one object a checkpoint
    assert {n for n in refs if asked[n] > 1} <= {f"refs/tiny/eval/{c}/verdicts.json" for c in EVALUATED}
    assert set(manifests.values()) == {1}


def test_the_change_since_the_last_run_is_told(tmp_path: Path) -> None:
    lake = make_lake(tmp_path / "lake")
    assert "no earlier evaluation" in page(lake, "tiny")
    now, before = (resolve(lake, f"tiny/eval/{c}/verdicts") for c in ("dev1", "zero"))
    move_ref(lake, "tiny/eval/dev1/verdicts", before)
    move_ref(lake, "tiny/eval/dev1/verdicts", now)
    text = page(lake, "tiny")
    assert "no earlier evaluation" not in text
    assert '<td class="n">+50.0 (+50.0 to +50.0)</td>' in text
    assert "<span>since the last run</span><b>+50.0</b>" in text


def test_funnel_adds_up(lake: Lake) -> None:
    found = funnel(lake, "tiny/cold_start/drops")
    assert (found.rows_in, found.left, found.rows_out) == (4, (("verdict", "wrong", 2), ("verdict", "other", 1)), 1)


def test_page_is_written_into_the_lake(lake: Lake) -> None:
    assert write_report(lake, "tiny").endswith("reports/tiny/index.html")
    assert lake.exists("reports/tiny/index.html")


def test_funnels_are_a_table_beside_the_page(lake: Lake) -> None:
    write_report(lake, "tiny")
    rows = pl.DataFrame(lake.read_table("reports/tiny/funnels.parquet")).filter(
        pl.col("ref") == "tiny/cold_start/drops"
    )
    told = rows.select("gate", "reason", "rows", "share").rows()
    wrong, other = ("verdict", "wrong", 2, 0.5), ("verdict", "other", 1, 0.25)
    assert told == [wrong, other, ("", "rows in", 4, None), ("", "kept", 1, None)]
    assert rows["examples"].list.len().to_list() == [2, 1, 0, 0]


def test_empty_lake_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="nothing of recipe 'tiny'"):
        page(Lake.open(str(tmp_path)), "tiny")
