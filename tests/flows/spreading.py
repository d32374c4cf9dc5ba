"""Map steps of the product over made-up candidates, run here or by the flow: `python -m tests.flows.spreading BY ...`.

here  LAKE SCRATCH RECIPE NODE...      flow  LAKE SCRATCH RECIPE NODE...
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl

from r1data.manifest import Manifest, Rows
from r1data.params import Params
from r1data.run import Session
from r1data.runner import Runner
from r1data.settings import Settings
from r1data.stages import STAGES
from r1data.step import Node, Step
from r1data.steps.measures import MEASURE
from r1data.storage import Lake
from r1data.verify.verdicts import VERIFY, VerifyParams
from schemas import TABLES
from tests.r1data.inspect.tiny_lake import filled

SHARDS, ROWS = 24, 5
INPUTS = {"candidates": "@made/candidates", "problems": "@made/problems"}


class Noted(Params):
    """Where a shard's computation is written down, and how long one takes."""

    folder: str
    seconds: float


class Made:
    """Candidates: of every problem right, wrong and open answers, a problem a shard."""

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """The shards."""
        for p in range(SHARDS):
            answers = [f"{p + 1}", f"{p}", rf"\frac{{{2 * p + 2}}}{{2}}", "no idea", ""]
            yield filled("candidates", [_candidate(p, i, text) for i, text in enumerate(answers[:ROWS])])

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """No training here."""
        raise NotImplementedError

    def check(self, node: Node, rows: Rows) -> tuple[dict[str, object], ...]:
        """No checks here."""
        return ()


def _candidate(problem: int, sample: int, answer: str) -> dict[str, object]:
    text = f"<think>I add 1 to {problem}. 我加一。</think><answer>{answer}</answer>"
    ids = {"candidate_id": f"c{problem:03}-{sample}", "problem_id": f"p{problem:03}"}
    return {**ids, "sample_index": sample, "completion": text, "finish_reason": "stop"}


def make(url: str) -> Lake:
    """A lake with the problems and their candidates."""
    lake = Lake.open(url)
    rows = [
        {"problem_id": f"p{p:03}", "question": f"{p}+1=?", "answer": f"{p + 1}", "kind": "math", "split": "train"}
        for p in range(SHARDS)
    ]
    problems = Step("problems", "1", "reduce", TABLES["problems"], lambda *, params: filled("problems", rows))
    runner = Runner(lake, "made", Made(), report=lambda _: None)
    runner.run(Node("problems", "s", problems, Params()))
    runner.run(Node("candidates", "s", Step("candidates", "1", "call", TABLES["candidates"]), Params()))
    return lake


def noted(*, params: Noted, candidates: pl.DataFrame) -> pl.DataFrame:
    """A document a candidate; says that it was begun, and by which process, then takes its time."""
    line = f"{os.getpid()} {candidates['problem_id'][0]}\n"
    with (Path(params.folder) / "ran").open("a", encoding="utf-8") as file:
        file.write(line)
    time.sleep(params.seconds)
    text = {"document_id": pl.col("candidate_id"), "text": pl.col("completion")}
    return candidates.select(**text, category=pl.lit("c"), source=pl.lit("s"))


def nodes(folder: str) -> dict[str, Node]:
    """Verdicts and measures as every sampling has them, and a step that takes half a second a shard."""
    slow = Step("noted", "1", "map", TABLES["corpus"], noted)
    found = (
        Node("verdicts", STAGES[0], VERIFY, VerifyParams(), INPUTS, frozenset({"problems"})),
        Node("measures", STAGES[0], MEASURE, Params(), INPUTS, frozenset({"problems"})),
        Node("noted", STAGES[0], slow, Noted(folder=folder, seconds=0.5), {"candidates": INPUTS["candidates"]}),
    )
    return {node.name: node for node in found}


def run(session: Session, by: str, wanted: list[str]) -> None:
    """Run the nodes that are wanted."""
    session.nodes = {name: nodes(session.lake.root)[name] for name in wanted}
    if by == "here":
        session.run_nodes(STAGES[0], session.run_node)
    else:
        from flows.r1 import run_stage

        session.run_stages(lambda stage: run_stage(session, stage))


def by_flow(recipe: str, lake: str, wanted: list[str]) -> None:
    """As the recipe's flow does it."""
    from prefect import flow

    from flows.r1 import open_session

    @flow(name="spreading")
    def spreading() -> None:
        with open_session(recipe, lake) as session:
            run(session, "flow", wanted)

    spreading()


def main(by: str, lake: str, scratch: str, recipe: str, *wanted: str) -> None:
    """Run nodes of one recipe."""
    if by == "flow":
        by_flow(recipe, lake, list(wanted))
        return
    with Session(recipe, Settings.from_environment({"R1_SCRATCH": scratch, "R1_ENGINE": "fake"}, lake)) as session:
        run(session, by, list(wanted))


if __name__ == "__main__":
    # workers find the steps in the module of that name, not in __main__
    from tests.flows import spreading

    spreading.main(*sys.argv[1:])
