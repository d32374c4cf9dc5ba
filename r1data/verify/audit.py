"""A second method on a sample of verdicts, of another make than the first: where they differ, somebody should look.

math: math-verify alone on everything outside the thought, its own extraction included. choice: the last letter that
stands alone. code: the program run once more. Other kinds have no second method and are not sampled.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from r1data.digest import row_id
from r1data.params import Params
from r1data.rewards.choice import read_choice
from r1data.rewards.format import summary
from r1data.step import Step
from r1data.verify.symbolic import LONGEST, symbolic_comparisons
from r1data.verify.verdicts import Asked, judged
from schemas import TABLES

_LETTER = re.compile(r"(?<![A-Za-z])([A-J])(?![A-Za-z])")
_BOXED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL).sub
Row = dict[str, Any]


class AuditParams(Params):
    """How many verdicts are judged again: half of them `correct`, half `wrong`, where there are that many."""

    sample: int = 200
    seed: int = 0


def audit(
    *, params: AuditParams, candidates: pl.DataFrame, verdicts: pl.DataFrame, problems: pl.DataFrame
) -> pl.DataFrame:
    """AUDITS of a sample that the seed and the content fix."""
    about = problems.filter(pl.col("kind").is_in(list(METHODS))).select("problem_id", "kind", gold=pl.col("answer"))
    told = verdicts.select("candidate_id", "verdict", "tier", "answer")
    said = candidates.select("candidate_id", "problem_id", "completion", "finish_reason")
    rows = said.join(told, on="candidate_id", how="inner").join(about, on="problem_id", how="inner").to_dicts()
    rows.sort(key=lambda r: row_id("audit", params.seed, r["candidate_id"]))
    chosen = [r for v in ("correct", "wrong") for r in [r for r in rows if r["verdict"] == v][: params.sample // 2]]
    for kind, (method, second) in METHODS.items():
        mine = [r for r in chosen if r["kind"] == kind]
        for row, verdict in zip(mine, second(mine) if mine else [], strict=True):
            row |= {"second": verdict, "method": method}
    names = TABLES["audits"].schema.names
    return pl.DataFrame([{n: r[n] for n in names} for r in chosen], schema=dict.fromkeys(names, pl.String))


def _maths(rows: Sequence[Row]) -> list[str]:
    pairs = [(r["gold"], _BOXED(r"\\boxed{\1}", r["completion"].rpartition("</think>")[2])[-LONGEST:]) for r in rows]
    outcomes = symbolic_comparisons(pairs, "peer")
    meaning = {"equal": "correct", "different": "wrong", "unparseable_answer": "wrong"}
    return [meaning.get(outcomes[p], "undecided") for p in pairs]


def _letters(rows: Sequence[Row]) -> list[str]:
    return [_letter(r["gold"], summary(r["completion"])) for r in rows]


def _letter(gold: str, text: str) -> str:
    choice, letters = read_choice(gold), _LETTER.findall(text)
    if choice is None:
        return "undecided"
    return "correct" if letters and letters[-1] == choice.answer else "wrong"


def _programs(rows: Sequence[Row]) -> list[str]:
    return [v.verdict for v in judged([Asked(r["completion"], r["finish_reason"], r["gold"], "code") for r in rows])]


METHODS: dict[str, tuple[str, Callable[[Sequence[Row]], list[str]]]] = {
    "math": ("math-verify alone", _maths),
    "choice": ("last letter", _letters),
    "code": ("run again", _programs),
}
AUDIT = Step("audit", "1", "reduce", TABLES["audits"], audit)
