"""The whole smoke recipe, real training and a deterministic engine: uninterrupted, killed in five stages, and on S3."""

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import r1data
from r1data.inspect.trace import trace, why
from r1data.manifest import corrupt_files
from r1data.refs import list_refs, resolve
from r1data.storage import Lake
from tests.running import digests, ended, environment, kill_at, run, start
from tests.s3 import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
KILLED_AT = ("base: pretrain", "step 2/3", "cold_start/verdicts", "rm_safe", "eval/dev1/candidates")


def test_everything_is_there_and_intact(finished: Lake) -> None:
    refs = list_refs(finished)
    assert {"smoke/zero", "smoke/cold_start", "smoke/r1", "smoke/distill", "smoke/eval/r1"} <= set(refs)
    assert [name for ref in refs for name in corrupt_files(finished, resolve(finished, ref))] == []
    assert finished.exists("reports/smoke/index.html")


def test_second_run_computes_nothing(finished: Lake, tmp_path: Path) -> None:
    started = time.monotonic()
    out = run(["run", "smoke"], finished.url, tmp_path / "scratch")
    assert "nothing to do" in out
    assert time.monotonic() - started < 30


def test_killed_in_five_stages_it_ends_bit_equal(finished: Lake, tmp_path: Path) -> None:
    lake, scratch = str(tmp_path / "lake"), tmp_path / "scratch"
    for mark in KILLED_AT:
        kill_at(mark, start(["run", "smoke"], lake, scratch))
    run(["run", "smoke"], lake, scratch)
    assert digests(Lake.open(lake)) == digests(finished)


def test_a_row_is_traced_to_problem_checkpoint_and_verdict(finished: Lake) -> None:
    example = r1data.scan("smoke/cold_start", finished.url).collect()["example_id"][0]
    found = trace(finished, example)
    tables = {f.table for f in found.ancestors}
    assert {"problems", "candidates", "verdicts"} <= tables
    assert found.trained == ("smoke/dev1",)
    candidate = next(f.row for f in found.ancestors if f.table == "candidates")
    assert candidate["model_digest"] == resolve(finished, "smoke/zero").digest


def test_a_dropped_row_says_why(finished: Lake) -> None:
    dropped = r1data.scan("smoke/cold_start/drops", finished.url).collect()
    row = dropped.filter(pl.col("gate") == "verdict")["row_id"][0]
    assert [f.row["reason"] for f in why(finished, row)] == ["wrong"]


def test_rows_in_are_rows_out(finished: Lake) -> None:
    rows = {n: resolve(finished, f"smoke/cold_start{n}").rows for n in ("", "/candidates", "/drops", "/verdicts")}
    assert rows["/candidates"] == rows["/verdicts"] == rows[""] + rows["/drops"]


def test_the_flow_leaves_runs_and_artifacts_in_prefect(finished: Lake, tmp_path: Path) -> None:
    home = tmp_path / "prefect"
    prefect = {
        "PREFECT_HOME": str(home),
        "PREFECT_LOCAL_STORAGE_PATH": str(home / "storage"),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    code = f"from flows.r1 import r1; print(r1('smoke', {finished.url!r}))"
    env = environment(tmp_path / "scratch", prefect)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    with sqlite3.connect(home / "prefect.db") as db:
        keys = {row[0] for row in db.execute("select key from artifact")}
        states = {row[0] for row in db.execute("select state_type from flow_run")}
    assert {"smoke-evaluation", "smoke-cold-start", "smoke-zero", "smoke-cold-start-drops-funnel"} <= keys
    assert states == {"COMPLETED"}


def test_the_entry_point_asks_the_plan_first(finished: Lake, tmp_path: Path) -> None:
    env = environment(tmp_path / "scratch", {"R1_LAKE": finished.url})
    command = [sys.executable, "-X", "importtime", "-m", "flows", "smoke"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "nothing to do" in done.stdout
    assert "| prefect\n" not in done.stderr


def test_the_same_on_s3(finished: Lake, s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    Lake.open("s3://whole/lake").fs.mkdir("whole")
    run(["run", "smoke"], "s3://whole/lake", tmp_path / "scratch", s3.environment)
    lake = Lake.open("s3://whole/lake")
    assert digests(lake) == digests(finished)
    assert r1data.scan("smoke/sft_mix", "s3://whole/lake").collect().height == resolve(lake, "smoke/sft_mix").rows


def test_wrong_s3_credentials_are_one_clear_error(s3: Server, tmp_path: Path) -> None:
    wrong = {**s3.environment, "AWS_SECRET_ACCESS_KEY": "not-the-secret"}
    status, out = ended(["run", "smoke"], "s3://whole/lake", tmp_path / "scratch", wrong)
    assert status == 1
    assert "Traceback" not in out
    assert "AWS_SECRET_ACCESS_KEY" in out
