"""The table of verdicts: counts by verifier and tier, undecided in no share, the commonest reasons."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from r1data.manifest import Manifest
from r1data.report.verdicts import COLUMNS, verdict_rows
from r1data.runner import Runner
from r1data.step import Node
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import Services, Told, filled, step

JUDGED = [
    *(("rules", "exact", "correct", "") for _ in range(3)),
    ("rules", "exact", "wrong", ""),
    *(("rules", "extraction", "wrong", "no_answer") for _ in range(2)),
    *(("sandbox", "tests", "undecided", reason) for reason in ("time_out", "time_out", "crash", "a", "b", "c")),
]


def _made(folder: Path, judged: list[tuple[str, str, str, str]]) -> tuple[Lake, Mapping[str, Manifest]]:
    rows: list[dict[str, Any]] = [
        {"candidate_id": f"c{i}", "verifier": v, "tier": t, "verdict": verdict, "reason": reason}
        for i, (v, t, verdict, reason) in enumerate(judged)
    ]

    def verdicts(*, params: Told) -> pl.DataFrame:
        return filled("verdicts", rows)

    run: Callable[..., object] = verdicts
    lake = Lake.open(str(folder))
    runner = Runner(lake, "tiny", Services(lake), report=lambda _: None)
    runner.run(Node("zero/verdicts", "s", step("judge", "verdicts", run), Told()))
    return lake, runner.done


def test_counts_by_verifier_and_tier(tmp_path: Path) -> None:
    found = [dict(zip(COLUMNS, row, strict=True)) for row in verdict_rows(*_made(tmp_path, JUDGED))]
    assert [(r["candidates of"], r["verifier"], r["tier"]) for r in found] == [
        ("zero", "rules", "exact"),
        ("zero", "rules", "extraction"),
        ("zero", "sandbox", "tests"),
    ]
    counts = [tuple(r[c] for c in ("rows", "correct", "wrong", "undecided", "correct of decided")) for r in found]
    assert counts == [("4", "3", "1", "0", "75.0"), ("2", "0", "2", "0", "0.0"), ("6", "0", "0", "6", "-")]
    assert [r["reasons"] for r in found] == ["", "no answer 2", "time out 2, a 1, b 1, c 1, 1 more reasons"]


def test_nothing_judged_is_no_row(tmp_path: Path) -> None:
    assert verdict_rows(*_made(tmp_path, [])) == []
