"""Plain lines of progress: the first at once, few in between, the last with the whole time."""

from r1data.progress import Progress
from r1data.spending import BudgetParams, Spending
from r1data.watching import PlainLines, Step, percent, progress_line, training_step, watched_by


def progress(done: int = 512, ended: float | None = 10.0) -> Progress:
    return Progress(
        "cold_start/candidates",
        expected=2_000,
        done=done,
        tokens=34_120,
        accepted=201,
        undecided=3,
        truncated=12,
        started=0.0,
        ended=ended,
    )


def test_a_line_holds_all_that_a_person_waits_for() -> None:
    assert progress_line(progress(), "0.42 USD") == (
        "  cold_start/candidates: 512/2000 candidates, 3,412 tokens/s, 201 accepted, 3 undecided, 12 truncated, "
        "0.42 USD, 10 s"
    )
    assert "waiting for the first answer" in progress_line(progress(done=0, ended=None), "")


def test_the_first_call_and_the_end_are_told_and_little_between() -> None:
    told: list[str] = []
    spending = Spending(BudgetParams(gpu_hour_price=2.0))
    lines = PlainLines(told.append, spending)
    for _ in range(100):
        lines.watch(progress(ended=None))
    assert len(told) == 1
    spending.add(10, 1_800)
    lines.watch(progress())
    assert len(told) == 2
    assert told[1].endswith("1.00 USD, 10 s")
    lines.watch(progress(ended=None))
    assert len(told) == 3


def test_nodes_are_told_apart() -> None:
    told: list[str] = []
    watch = PlainLines(told.append, Spending()).watch
    for name in ("a", "b", "a", "b"):
        watch(Progress(name, expected=4))
    assert [line.split(":")[0].strip() for line in told] == ["a", "b"]


def test_a_line_is_due_again_after_its_time() -> None:
    told: list[str] = []
    watch = PlainLines(told.append, Spending(), every=0.0).watch
    for _ in range(3):
        watch(progress(ended=None))
    assert len(told) == 3


def test_percent_stays_within_its_bounds() -> None:
    assert percent(progress()) == 25.6
    assert percent(progress(done=3_000)) == 100.0
    assert percent(Progress("a")) == 0.0
    assert percent(Progress("a", ended=1.0)) == 100.0


def test_several_watchers_see_the_same() -> None:
    first: list[Progress] = []
    second: list[Progress] = []
    seen = progress()
    watched_by(first.append, second.append)(seen)
    assert first == second == [seen]


def test_steps_of_trainings_are_told_from_other_lines() -> None:
    assert training_step("  zero: step 2/3 reward 0.7 loss 0.01") == Step("zero", 2, 3, "reward 0.7 loss 0.01")
    assert training_step("  rm_helpful: resumed at step 2") is None
    assert training_step("zero: grpo (train)") is None
