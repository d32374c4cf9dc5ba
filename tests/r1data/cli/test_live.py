"""The live display: rows on a terminal that what is reported does not tear, plain lines elsewhere."""

import io
import re
import threading

from rich.console import Console

from r1data.cli.live import LiveProgress
from r1data.progress import Progress
from r1data.spending import BudgetParams, Spending

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def display(*, terminal: bool) -> tuple[LiveProgress, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=140, height=40, highlight=False)
    return LiveProgress(Spending(BudgetParams(gpu_hour_price=2.0)), console), out


def test_outside_a_terminal_there_are_plain_lines_and_no_escapes() -> None:
    live, out = display(terminal=False)
    with live:
        live.report("zero: grpo (train)")
        for done in range(50):
            live.watch(Progress("eval/zero/candidates", expected=50, done=done))
        live.watch(Progress("eval/zero/candidates", expected=50, done=50, ended=1e12))
    lines = out.getvalue().splitlines()
    assert lines[0] == "zero: grpo (train)"
    assert [line.split(",")[0] for line in lines[1:]] == [
        "  eval/zero/candidates: 0/50 candidates",
        "  eval/zero/candidates: 50/50 candidates",
    ]
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_there_is_a_row_a_node() -> None:
    live, out = display(terminal=True)
    with live:
        live.spending.add(10, 1_800)
        live.watch(Progress("eval/zero/candidates", expected=50, done=5, accepted=3))
        live.watch(Progress("eval/dev1/candidates", expected=80, done=8))
        live.refresh()
    text = ESCAPES.sub("", out.getvalue())
    assert re.search(r"eval/zero/candidates +5/50 +10 % +\d+ +3 +0 +0", text)
    assert re.search(r"eval/dev1/candidates +8/80 +10 %", text)
    assert "1.00 USD so far" in text


def test_a_row_becomes_a_line_at_its_end() -> None:
    live, out = display(terminal=True)
    with live:
        live.watch(Progress("eval/zero/candidates", expected=50, done=5))
        live.watch(Progress("eval/zero/candidates", expected=50, done=50, started=0.0, ended=10.0))
        live.refresh()
    assert "  eval/zero/candidates: 50/50 candidates, 0 tokens/s" in ESCAPES.sub("", out.getvalue())
    assert out.getvalue().count("\x1b[?25h") == 1, "the cursor is shown again"


def test_long_lines_with_brackets_stay_whole() -> None:
    live, out = display(terminal=True)
    line = "base: [cluster] " + "x" * 300
    with live:
        threads = [threading.Thread(target=live.report, args=(line,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert ESCAPES.sub("", out.getvalue()).count(line) == 8
