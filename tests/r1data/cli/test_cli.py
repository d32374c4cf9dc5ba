"""`r1` as it is typed: what it prints, one clear error with its remedy, and the exit code."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from r1data.cli import main
from r1data.errors import LakeError
from r1data.manifest import MANIFEST
from r1data.recipe import SHIPPED
from r1data.refs import list_refs, read_ref, ref_file, resolve
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import make_lake

Typed = Callable[..., tuple[int, str, str]]
COMMANDS = (
    "check",
    "tune-gates",
    "plan",
    "pilot",
    "run",
    "report",
    "status",
    "show",
    "trace",
    "why",
    "lineage push",
    "lineage show",
    "impact",
    "diff",
    "export",
    "verify",
    "rollback",
    "gc",
    "doctor",
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return make_lake(tmp_path / "lake")


@pytest.fixture
def r1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Types a command: exit code, output, errors."""

    def typed(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["r1", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return typed


def test_status_lists_refs_with_rows(r1: Typed, lake: Lake) -> None:
    code, out, _ = r1("status", "--lake", lake.url)
    line = next(line.split() for line in out.splitlines() if line.startswith("tiny/cold_start/candidates"))
    assert code == 0
    assert line[1:4] == ["dataset", "4", "rows"]
    assert line[-1] == resolve(lake, "tiny/cold_start/candidates").digest[:12]


def test_lake_may_stand_before_the_command(r1: Typed, lake: Lake) -> None:
    code, out, _ = r1("--lake", lake.url, "status")
    assert (code, "refs of tiny" in out) == (0, True)


def test_lake_may_come_from_the_environment(r1: Typed, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("R1_LAKE", lake.url)
    assert "refs of tiny" in r1("status")[1]


def test_status_of_an_empty_lake_says_what_to_do(r1: Typed, tmp_path: Path) -> None:
    code, out, _ = r1("status", "--lake", str(tmp_path / "none"))
    assert (code, "r1 run demo" in out) == (0, True)


def test_show_prints_facts_and_rows(r1: Typed, lake: Lake) -> None:
    _, out, _ = r1("show", "tiny/cold_start", "--lake", lake.url)
    assert "tiny/cold_start: dataset of sft_examples/1, 1 rows" in out
    assert "parent_id: candidate-1" in out


def test_trace_prints_problem_checkpoint_and_verdict(r1: Typed, lake: Lake) -> None:
    _, out, _ = r1("trace", "example-1", "--lake", lake.url)
    for line in ("comes from: tiny/problems [problems]", "    verdict: correct", "written by: tiny/zero"):
        assert line in out
    assert "trained on it: tiny/dev1" in out


def test_why_prints_the_gate(r1: Typed, lake: Lake) -> None:
    assert "candidate-2 left at gate verdict: wrong" in r1("why", "candidate-2", "--lake", lake.url)[1]
    assert "not dropped anywhere" in r1("why", "candidate-1", "--lake", lake.url)[1]


@pytest.mark.parametrize("ref", ["tiny", "tiny/cold_start", "tiny/cold_start/drops"])
def test_funnel_counts_and_shows_what_left(r1: Typed, lake: Lake, ref: str) -> None:
    code, out, _ = r1("funnel", ref, "--examples", "1", "--lake", lake.url)
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert ["-", "verdict:", "wrong", "2", "50.0", "%"] in lines
    assert ["kept", "1", "25.0", "%"] in lines
    assert out.count("evidence: ") == 2


def test_funnel_of_what_has_no_drops_is_refused(r1: Typed, lake: Lake) -> None:
    code, _, err = r1("funnel", "tiny/dev1", "--lake", lake.url)
    assert (code, "no dataset of dropped rows" in err) == (1, True)


def test_unknown_ref_is_answered_with_the_nearest(r1: Typed, lake: Lake) -> None:
    code, _, err = r1("show", "tiny/cold_strt", "--lake", lake.url)
    assert code == 1
    assert err.startswith(f"error: {lake.url}: no ref 'tiny/cold_strt'\n  remedy: did you mean tiny/cold_start")


def test_debug_shows_the_traceback(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["r1", "--debug", "--lake", lake.url, "show", "tiny/none"])
    with pytest.raises(LakeError):
        main()


def test_export_writes_a_folder(r1: Typed, lake: Lake, tmp_path: Path) -> None:
    code, out, _ = r1("export", "tiny/cold_start", str(tmp_path / "out"), "--lake", lake.url)
    assert (code, "1 rows in 1 Parquet files and README.md" in out) == (0, True)
    assert (tmp_path / "out" / "data" / "train-00000-of-00001.parquet").is_file()


def test_verify_of_a_whole_lake(r1: Typed, lake: Lake) -> None:
    code, out, _ = r1("verify", "--lake", lake.url)
    assert code == 0
    assert out.rstrip().endswith("0 faults")


def test_verify_finds_a_flipped_bit(r1: Typed, lake: Lake) -> None:
    name = resolve(lake, "tiny/cold_start/verdicts").shards[0].path
    shard = Path(lake.path(name))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    code, out, err = r1("verify", "--lake", lake.url)
    assert code == 1
    assert f"tiny/cold_start/verdicts: missing or different: {lake.uri(name)}" in out
    assert "remedy: " in err


def test_verify_finds_a_missing_file(r1: Typed, lake: Lake) -> None:
    name = resolve(lake, "tiny/zero").files[0].path
    Path(lake.path(name)).unlink()
    code, out, _ = r1("verify", "--lake", lake.url)
    assert (code, name in out) == (1, True)


def test_verify_finds_a_missing_parent(r1: Typed, lake: Lake) -> None:
    base = resolve(lake, "tiny/base").path
    Path(lake.path(f"{base}/{MANIFEST}")).unlink()
    code, out, _ = r1("verify", "--lake", lake.url)
    assert (code, f"tiny/zero: no manifest of its parent tiny/base: {lake.uri(base)}" in out) == (1, True)


@pytest.fixture
def orphaned(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake where nothing reaches dev1's checkpoint any more; it is a month old."""
    monkeypatch.setenv("R1_SCRATCH", str(tmp_path / "scratch"))
    for ref in [r for r in list_refs(lake) if r == "tiny/dev1" or r.startswith("tiny/eval/dev1")]:
        lake.delete(ref_file(ref))
    for stored in lake.objects("data"):
        os.utime(lake.path(stored.name), (0, 0))
    return lake


def test_verify_counts_orphans_and_finds_no_fault(r1: Typed, orphaned: Lake) -> None:
    code, out, _ = r1("verify", "--lake", orphaned.url)
    assert (code, out.count("no ref reaches")) == (0, 1)


def test_gc_lists_and_deletes_nothing_unless_told(r1: Typed, orphaned: Lake) -> None:
    before = orphaned.names("")
    code, out, _ = r1("gc", "--lake", orphaned.url)
    assert (code, "data/dev1/" in out, out.rstrip().splitlines()[-1]) == (
        0,
        True,
        "nothing was deleted; `r1 gc --delete` deletes these",
    )
    assert orphaned.names("") == before


def test_gc_asks_first(r1: Typed, orphaned: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    before = orphaned.names("")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    code, out, _ = r1("gc", "--delete", "--lake", orphaned.url)
    assert (code, "delete these" in out) == (1, True)
    assert orphaned.names("") == before


def test_gc_deletes_and_the_rest_is_whole(r1: Typed, orphaned: Lake) -> None:
    code, out, _ = r1("gc", "--delete", "--yes", "--lake", orphaned.url)
    assert (code, "deleted 5" in out) == (0, True)
    assert not orphaned.names("data/dev1")
    assert r1("verify", "--lake", orphaned.url)[1].rstrip().endswith("0 faults")
    assert "0 to delete" in r1("gc", "--older-than", "0", "--lake", orphaned.url)[1]


@pytest.mark.parametrize("command", ["status", "verify"])
def test_a_missing_manifest_is_named_and_the_rest_is_read(r1: Typed, lake: Lake, command: str) -> None:
    Path(lake.path(f"{resolve(lake, 'tiny/dev1').path}/{MANIFEST}")).unlink()
    code, out, err = r1(command, "--lake", lake.url)
    assert code == 1
    assert f"no {MANIFEST}" in out + err
    assert "remedy: " in err
    assert r1("show", "tiny/cold_start", "--lake", lake.url)[0] == 0


def test_rollback_goes_back_and_forth(r1: Typed, lake: Lake, tmp_path: Path) -> None:
    first = read_ref(lake, "tiny/problems").current
    make_lake(tmp_path / "lake", mark="!")
    assert read_ref(lake, "tiny/problems").current != first
    assert r1("rollback", "tiny/problems", "--lake", lake.url)[0] == 0
    assert read_ref(lake, "tiny/problems").current == first


def test_rollback_without_history_changes_nothing(r1: Typed, lake: Lake) -> None:
    code, _, err = r1("rollback", "tiny/problems", "--lake", lake.url)
    assert (code, "no earlier target" in err) == (1, True)


def test_plan_of_an_empty_lake_counts_what_runs(r1: Typed, tmp_path: Path) -> None:
    code, out, _ = r1("plan", "smoke", "--lake", str(tmp_path))
    last = out.splitlines()[-1].split()
    assert code == 0
    assert last[0] == last[2]
    assert last[3:] == ["nodes", "to", "run"]


def test_check_of_a_shipped_recipe(r1: Typed) -> None:
    code, out, _ = r1("check", "smoke")
    assert (code, "no fault found" in out) == (0, True)


@pytest.mark.parametrize("command", ["check", "plan", "report"])
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[dev1]\nepochs = 1", "[dev1]\nepoch = 1", "dev1.epoch: unknown key, did you mean 'epochs'"),
        ("[dev1]\nepochs = 1", '[dev1]\nepochs = "many"', "dev1.epochs: Input should be a valid integer"),
    ],
    ids=["unknown key", "wrong type"],
)
def test_wrong_recipe_names_file_field_and_remedy(
    r1: Typed, tmp_path: Path, command: str, old: str, new: str, says: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((SHIPPED / "smoke.toml").read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    code, _, err = r1(command, str(path))
    assert code == 1
    assert err.startswith(f"error: {path}")
    assert says in err
    assert "\n  remedy: " in err


def test_unknown_stage_is_one_clear_error(r1: Typed, tmp_path: Path) -> None:
    code, _, err = r1("run", "smoke", "--stage", "zer", "--lake", str(tmp_path))
    assert code == 1
    assert "unknown stage zer" in err
    assert "remedy: stages: foundations" in err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(r1: Typed, command: str) -> None:
    code, out, _ = r1(*command.split(), "--help")
    assert (code, f"Example: r1 {command}" in out) == (0, True)


def test_command_line_loads_neither_polars_nor_matplotlib() -> None:
    heavy = ("polars", "pyarrow", "matplotlib", "pydantic")
    code = f"import sys, r1data.cli; print([m for m in {heavy} if m in sys.modules])"
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60)
    assert run.stdout.strip() == "[]"


def test_doctor_tries_the_lake_and_leaves_nothing(r1: Typed, lake: Lake) -> None:
    before = lake.names("")
    _, out, _ = r1("doctor", "--lake", lake.url)
    assert "can be written and read" in out
    assert lake.names("") == before


def test_doctor_says_what_is_wrong_with_the_lake(r1: Typed, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, _ = r1("doctor", "--lake", str(tmp_path / "file"))
    assert code == 1
    assert any(line.startswith("BAD") and "lake" in line for line in out.splitlines())


def test_review_shows_a_sample_then_takes_a_decision(r1: Typed, lake: Lake, tmp_path: Path) -> None:
    _, out, _ = r1("review", "tiny/cold_start", "--by", "Ada", "--lake", lake.url)
    assert "1 rows of tiny/cold_start wait for review" in out
    edits = tmp_path / "edits.jsonl"
    edits.write_text('{"example_id": "example", "completion": "<think>a</think>b<answer>3</answer>"}\n')
    typed = ("review", "tiny/cold_start", "--by", "Ada", "--accept", "--lake", lake.url)
    code, out, _ = r1(*typed, "--edits", str(edits))
    assert (code, "accepted by Ada, 0 rows left out, 1 edited" in out) == (0, True)
    assert "edited example-1: correct, language consistency" in out
    edits.write_text('{"example_id": "example", "completion": "<think>a</think>b<answer>4</answer>"}\n')
    code, _, err = r1(*typed, "--edits", str(edits))
    assert (code, "row example-1: wrong: it answers '4', the answer is '3'" in err) == (1, True)
    code, _, err = r1(*typed, "--reject-row", "none-such")
    assert (code, "begins with 'none-such'" in err) == (1, True)


def test_plan_tells_what_trainings_take(r1: Typed, tmp_path: Path) -> None:
    code, out, _ = r1("plan", "qwen-7b", "--lake", str(tmp_path / "none"))
    line = next(x.split() for x in out.splitlines() if x.startswith("zero  ") and "7.62B" in x)
    assert code == 0
    assert "trainings on 8 x 80 GB" in out
    assert line[1:5] == ["7.62B", "1", "x", "8,704"]
    assert line[8].startswith("[")


def test_plan_refuses_what_cannot_fit(r1: Typed, tmp_path: Path) -> None:
    code, out, err = r1("plan", "deepseek-r1", "--lake", str(tmp_path / "none"))
    assert code == 1
    assert "671B" in out
    assert "8 training(s) do not fit 8 GPU(s) of 80 GB" in err
    assert "remedy: " in err
