"""The cold-start set by a teacher over HTTP, reviewed by a person: what real recipes do and the demo does not."""

import shutil
import sys
from pathlib import Path

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
    refined = {f"cold_start/refined/{t}" for t in ("candidates", "verdicts", "measures", "drops")}
    assert computed == {*refined, "cold_start"}

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
