"""Reviews: asked for once a content, kept in the lake, and nothing is trained without one where the recipe says so."""

from pathlib import Path

import pytest

from r1data.errors import CorruptShard, LakeError, ReviewNeeded
from r1data.manifest import Manifest
from r1data.recipe import SHIPPED, load_recipe
from r1data.review import read_review, record_review, record_timeout, require_review, review_file, undecided
from r1data.stages import graph
from r1data.storage import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


def dataset(digest: str = "d1") -> Manifest:
    return Manifest(
        kind="dataset", name="x/cold_start", path="data/x/k", key="k", step="s", version="1", digest=digest, rows=3
    )


def test_nobody_decided_then_accepted(lake: Lake) -> None:
    with pytest.raises(ReviewNeeded, match=r"3 rows wait for a person's review\n  remedy: .*r1 review x/cold_start"):
        require_review(lake, dataset())
    record_review(lake, dataset(), " Ada ", accepted=True)
    require_review(lake, dataset())
    found = read_review(lake, dataset())
    assert found is not None
    assert (found.reviewer, found.accepted, found.dataset) == ("Ada", True, "x/cold_start")


def test_other_rows_need_another_review(lake: Lake) -> None:
    record_review(lake, dataset(), "Ada", accepted=True)
    with pytest.raises(ReviewNeeded):
        require_review(lake, dataset("d2"))


def test_rejection_says_who_and_why_and_can_be_taken_back(lake: Lake) -> None:
    record_review(lake, dataset(), "Ada", accepted=False, note="half of it is Finnish")
    with pytest.raises(ReviewNeeded, match="rejected by Ada: half of it is Finnish"):
        require_review(lake, dataset())
    record_review(lake, dataset(), "Ada", accepted=True)
    require_review(lake, dataset())


def test_bad_input(lake: Lake) -> None:
    with pytest.raises(LakeError, match="needs a reviewer"):
        record_review(lake, dataset(), "  ", accepted=True)
    lake.write(review_file("d1"), b"{")
    with pytest.raises(CorruptShard, match="not a review"):
        require_review(lake, dataset())


def test_a_time_out_is_a_decision_of_nobody_and_asks_again(lake: Lake) -> None:
    found = record_timeout(lake, dataset(), 7200)
    assert (found.decision, found.note) == ("timed out", "nobody decided within 2 hours")
    assert undecided(found)
    with pytest.raises(ReviewNeeded, match=r"wait for a person's review \(nobody decided within 2 hours\)"):
        require_review(lake, dataset())
    record_review(lake, dataset(), "Ada", accepted=True)
    last = require_review(lake, dataset())
    assert [r.decision for r in (last, *last.earlier)] == ["accepted", "timed out"]


def test_with_a_teacher_its_answers_pass_the_gates_too(tmp_path: Path) -> None:
    text = (SHIPPED / "smoke.toml").read_text()
    path = tmp_path / "taught.toml"
    path.write_text(
        text + '\n[cold_start.teacher]\nurl = "http://127.0.0.1:1"\nmodel = "deepseek-v3"\nmixed = "drop"\n'
    )
    nodes = {n.name: n for n in graph(load_recipe(str(path))) if n.stage == "cold_start"}
    assert nodes["cold_start"].inputs["refined_drops"] == "cold_start/refined/drops"
    stated = nodes["cold_start/drops"].params.model_dump()
    assert nodes["cold_start/refined/drops"].params.model_dump() == {**stated, "language_consistency": 1.0}
    told = nodes["cold_start/refined/candidates"].params.model_dump()
    assert "{question}" in told["template"]
    assert "url" not in told


def test_a_teacher_that_translates_is_shown_what_mixes_languages(tmp_path: Path) -> None:
    text = (SHIPPED / "smoke.toml").read_text()
    path = tmp_path / "taught.toml"
    path.write_text(text + '\n[cold_start.teacher]\nurl = "http://127.0.0.1:1"\nmodel = "deepseek-v3"\n')
    nodes = {n.name: n for n in graph(load_recipe(str(path)))}
    first, second = (nodes[f"cold_start/{p}drops"].params.model_dump() for p in ("", "refined/"))
    assert (first["single_language"], second["single_language"]) == (False, True)
    told = nodes["cold_start/refined/candidates"].params.model_dump()
    assert "Translate" in told["translate"]
    assert "ranslate" not in told["template"]
