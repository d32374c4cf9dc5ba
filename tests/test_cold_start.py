"""The cold-start set by a teacher over HTTP, reviewed by a person: what real recipes do and the demo does not."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import r1data
from r1data.generate.server import start_server
from r1data.recipe import SHIPPED
from r1data.refs import resolve
from r1data.storage import Lake
from tests.running import ended, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_refined_by_a_teacher_and_reviewed_before_training(finished: Lake, tmp_path: Path) -> None:
    place, scratch = str(tmp_path / "lake"), tmp_path / "scratch"
    shutil.copytree(finished.root, place)
    lake = Lake.open(place)
    folder = Path(lake.path(resolve(lake, "smoke/base").path))
    server = start_server(folder, "fake", sys.executable, tmp_path / "teacher.log")
    recipe = tmp_path / "taught.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8").replace("[cold_start]", '[cold_start]\nreview = "wait"')
    teacher = f'\n[cold_start.teacher]\nurl = "{server.url}"\nmodel = "teacher-1"\n'
    recipe.write_text(text + teacher, encoding="utf-8")
    told = {"R1_TEACHER_KEY": "planted-secret"}
    try:
        out = run(["run", str(recipe), "--stage", "cold_start"], place, scratch, told)
    finally:
        server.stop()
    computed = {line.split(":")[0] for line in out.splitlines() if line.endswith(("(call)", "(map)", "(reduce)"))}
    refined = {f"cold_start/refined/{t}" for t in ("candidates", "verdicts", "measures", "drops", "repeated")}
    assert computed == {"cold_start/drops", "cold_start/difficulty", *refined, "cold_start"}
    before = r1data.scan("smoke/cold_start/measures", place).filter(pl.col("language_consistency") < 1).collect()
    translated = set(before["candidate_id"]) & set(r1data.scan("smoke/cold_start", place).collect()["parent_id"])
    after = r1data.scan("smoke/cold_start/refined/measures", place).collect()
    assert translated
    assert set(after["language_consistency"]) == {1.0}

    examples = r1data.scan("smoke/cold_start", place).collect()
    assert set(examples["source"]) == {"zero, refined by teacher-1"}
    kept = r1data.scan("smoke/cold_start/candidates", place).collect().height
    kept -= r1data.scan("smoke/cold_start/drops", place).collect().height
    assert kept == examples.height + r1data.scan("smoke/cold_start/refined/drops", place).collect().height
    assert not [p for p in Path(place).rglob("*") if p.is_file() and b"planted-secret" in p.read_bytes()]

    status, out = ended(["run", str(recipe), "--stage", "dev1"], place, scratch)
    assert status == 1
    assert "wait for a person's review" in out
    assert "Traceback" not in out
    run(["review", "smoke/cold_start", "--by", "Ada", "--accept"], place, scratch)
    assert "dev1: sft (train)" in run(["run", str(recipe), "--stage", "dev1"], place, scratch)


@pytest.fixture
def many(finished: Lake, tmp_path: Path) -> Iterator[tuple[str, Path, str]]:
    """A copy of the finished lake; the smoke recipe under another name, which finds all there; a served teacher."""
    place, recipe = str(tmp_path / "lake"), tmp_path / "many.toml"
    shutil.copytree(finished.root, place)
    folder = Path(finished.path(resolve(finished, "smoke/base").path))
    server = start_server(folder, "fake", sys.executable, tmp_path / "teacher.log")
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8").replace('name = "smoke"', 'name = "many"')
    recipe.write_text(text, encoding="utf-8")
    yield place, recipe, f'url = "{server.url}"\nmodel = "teacher-1"'
    server.stop()


def add(recipe: Path, sections: str) -> None:
    with recipe.open("a", encoding="utf-8") as f:
        f.write(sections)


def test_imports_in_the_mixture(many: tuple[str, Path, str], tmp_path: Path) -> None:
    place, recipe, served = many
    talk = tmp_path / "talk.jsonl"
    rows = [{"prompt": p, "response": "r", "category": "writing", "licence": "CC0"} for p in ("hello", "Write a line")]
    talk.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"prompt": "x"}]))
    add(
        recipe,
        f"""
[[non_reasoning]]
name = "talk"
url = "{talk}"

[sft_mix.thoughts]
categories = ["writing"]
{served}

[sft_mix.mixture]
general_share = 0.25
""",
    )
    run(["run", str(recipe), "--stage", "sft_mix"], place, tmp_path / "scratch")
    counts = r1data.scan("many/sft_mix/composition", place).collect()
    taken = dict(counts.group_by("part").agg(pl.col("rows_taken").sum()).iter_rows())
    assert (taken["general"], taken["reasoning"]) == (2, 6)
    thoughts = r1data.scan("many/sft_mix/general", place).filter("chain_of_thought").collect()
    assert thoughts["completion"].to_list() == ["<think>They ask: Write a line</think>r"]
    assert r1data.scan("many/sft_mix/imported/drops", place).collect()["reason"].to_list() == ["no_response"]


def test_sources_side_by_side(many: tuple[str, Path, str], tmp_path: Path) -> None:
    place, recipe, served = many
    people, scratch = tmp_path / "people.jsonl", tmp_path / "scratch"
    people.write_text(json.dumps({"question": "Why?", "reasoning": "I ask.", "answer": "So.", "reviewer": "Ada"}))
    add(
        recipe,
        f"""
[cold_start.few_shot]
problems = 20
quota = 3
{served}

[cold_start.reflective]
problems = 20
{served}

[cold_start.feedback]
ref = "smoke/sft_mix"

[cold_start.human]
url = "{people}"
licence = "CC0"
""",
    )
    run(["run", str(recipe), "--stage", "cold_start"], place, scratch)
    examples = r1data.scan("many/cold_start", place).collect()
    by_source = dict(examples.group_by("source").len().iter_rows())
    assert by_source["few_shot by teacher-1"] == 3
    assert by_source["human, reviewed by Ada, unverified"] == 1
    assert {"zero, refined by rule", "reflective by teacher-1", "feedback from smoke/sft_mix"} <= by_source.keys()
    parents = {p.name for p in resolve(Lake.open(place), "many/cold_start/feedback/candidates").parents}
    assert "smoke/sft_mix/candidates" in parents
    assert "nothing to do" in run(["run", str(recipe), "--stage", "cold_start"], place, scratch)
