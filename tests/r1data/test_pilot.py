"""Records of pilots: statistics by hand, a speed that is kept, and records that cannot be read."""

import polars as pl
import pytest

from r1data.errors import BudgetExhausted
from r1data.generate.sampling import Identity
from r1data.pilot import PilotRecorder, pilot_file, read_pilot, record_pilot
from r1data.progress import Progress
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import filled

NODE = "cold_start/candidates"
PROBLEMS = filled(
    "problems",
    [
        {"problem_id": "p1", "kind": "math", "category": "arithmetic"},
        {"problem_id": "p2", "kind": "math", "category": "arithmetic"},
        {"problem_id": "p3", "kind": "logic", "category": "puzzles"},
    ],
)


def candidate(number: int, problem: str, tokens: int, finish: str = "stop") -> dict[str, object]:
    """Of the model d1."""
    return {
        "candidate_id": f"c{number}",
        "problem_id": problem,
        "prompt_tokens": 20,
        "completion_tokens": tokens,
        "finish_reason": finish,
        "model": "t/m",
        "model_digest": "d1",
        "sampling_digest": "s1",
        "template_digest": "t1",
    }


CANDIDATES = filled(
    "candidates",
    [
        candidate(1, "p1", 100),
        candidate(2, "p1", 200),
        candidate(3, "p2", 600, "length"),
        candidate(4, "p2", 300),
        candidate(5, "p3", 50),
    ],
)
PROGRESS = Progress(NODE, done=5, tokens=1_250, started=1.0, ended=6.0)


def test_statistics_by_domain(lake: Lake) -> None:
    made = record_pilot(
        lake, "tiny", NODE, candidates=CANDIDATES, problems=PROBLEMS, progress=PROGRESS, gpus=2, complete=True
    )
    assert made is not None
    assert made == read_pilot(lake, "tiny", NODE)
    logic, math = made.domains
    assert (math.kind, math.category, math.prompts, math.candidates, math.samples) == ("math", "arithmetic", 2, 4, 2.0)
    assert (math.prompt_tokens, math.tokens, math.truncated, math.truncated_tokens) == (20.0, 300.0, 0.25, 0.5)
    assert math.variance == pytest.approx(2 * 150**2), "prompts of 300 and 900 tokens, 2 samples each"
    assert (logic.tokens, logic.variance, logic.truncated) == (50.0, 2_500.0, 0.0)
    assert (made.model, made.sampling_digest, made.tokens_per_second, made.gpus) == ("t/m", "s1", 250.0, 2)


def recorder(lake: Lake, seen: list[Progress]) -> PilotRecorder:
    return PilotRecorder(lake, "tiny", NODE, PROBLEMS, 2, seen.append)


def test_what_is_seen_is_passed_on(lake: Lake) -> None:
    seen: list[Progress] = []
    watched = recorder(lake, seen)
    watched.seen(PROGRESS)
    found = watched.keep(CANDIDATES)
    assert seen == [PROGRESS]
    assert found is not None
    assert found.tokens_per_second == 250.0


def test_the_speed_stays_where_nothing_was_asked(lake: Lake) -> None:
    watched = recorder(lake, [])
    watched.seen(PROGRESS)
    watched.keep(CANDIDATES)
    again = PilotRecorder(lake, "tiny", NODE, PROBLEMS, 8, lambda _: None).keep(CANDIDATES)
    assert again is not None
    assert (again.tokens_per_second, again.gpus) == (250.0, 2)
    other = recorder(lake, []).keep(CANDIDATES.with_columns(model_digest=pl.lit("d2")))
    assert other is not None
    assert other.tokens_per_second == 0.0


def test_a_stop_by_the_budget_leaves_a_record_of_what_there_is(lake: Lake) -> None:
    identity = Identity("d1", "s1", "t1")
    stray = filled("candidates", [candidate(9, "of another node", 9)])
    lake.write_table(f"{identity.pool}/part-1.parquet", CANDIDATES.to_arrow())
    lake.write_table(f"{identity.pool}/part-2.parquet", pl.concat([CANDIDATES[:2], stray]).to_arrow())
    with pytest.raises(BudgetExhausted), recorder(lake, []).at_a_stop(identity):
        raise BudgetExhausted("spent")
    found = read_pilot(lake, "tiny", NODE)
    assert found is not None
    assert not found.complete
    assert sum(d.candidates for d in found.domains) == 5


def test_no_candidates_no_record(lake: Lake) -> None:
    assert recorder(lake, []).keep(CANDIDATES.clear()) is None
    with pytest.raises(BudgetExhausted), recorder(lake, []).at_a_stop(Identity("d1", "s1", "t1")):
        raise BudgetExhausted("spent")
    assert read_pilot(lake, "tiny", NODE) is None


@pytest.mark.parametrize(
    "text", ['{"model": "t/m", "wh', "[]", '{"format": 0, "speed": 3}', ""], ids=["torn", "list", "older", "empty"]
)
def test_a_record_that_cannot_be_read_is_noted_and_passed_over(lake: Lake, text: str) -> None:
    lake.write(pilot_file("tiny", NODE), text.encode())
    notes: list[str] = []
    assert read_pilot(lake, "tiny", NODE, notes.append) is None
    assert "pilots/tiny/cold_start/candidates.json: " in notes[0]
    assert recorder(lake, []).keep(CANDIDATES) is not None


def test_a_newer_format_is_noted(lake: Lake) -> None:
    made = recorder(lake, []).keep(CANDIDATES)
    assert made is not None
    lake.write(pilot_file("tiny", NODE), made.model_copy(update={"format": 2}).model_dump_json().encode())
    notes: list[str] = []
    assert read_pilot(lake, "tiny", NODE, notes.append) is None
    assert "format 2 instead of 1" in notes[0]
