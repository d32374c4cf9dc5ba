"""A lake of one tiny recipe, made in milliseconds: problems, a trained `zero`, its cold start, `dev1`, evaluations.

candidate-1 is kept as example-1, candidate-2 is dropped; problem-1 was practised by `zero`, problem-2 by nobody.
"""

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from r1data.digest import digest_bytes
from r1data.lineage import commit
from r1data.manifest import FileEntry, Manifest, checkpoint_digest
from r1data.outcomes.evaluation import EVALUATE, EvaluateParams
from r1data.params import Params
from r1data.runner import Runner, parents
from r1data.sampling_params import SamplingParams
from r1data.step import Node, Step
from r1data.storage import Lake
from schemas import TABLES

RECIPE = "tiny"
HOSTILE = "<think>2+3=5</think><script>alert('x')</script>&amp;"
EVALUATED = ("base", "zero", "dev1")


class Told(Params):
    """What a step is told: a mark that changes its key."""

    mark: str = ""


def filled(table: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows of a table, the columns that they lack filled with an empty value of the column's type."""
    schema = TABLES[table].schema
    empty = {f.name: _empty(f.type) for f in schema if not f.nullable}
    full = pa.Table.from_pylist([{**empty, **row} for row in rows], schema=schema)
    frame = pl.from_arrow(full)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _empty(kind: pa.DataType) -> Any:
    if pa.types.is_large_list(kind):
        return []
    return "" if pa.types.is_large_string(kind) else kind.to_pandas_dtype()(0)


class Services:
    """Candidates and checkpoints without any model."""

    def __init__(self, lake: Lake) -> None:
        self.lake = lake

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """Two samples of each problem; their ids begin with the checkpoint's name where they are for evaluation."""
        start = node.name.removesuffix("candidates").removeprefix("eval/").replace("/", "-").removeprefix("cold_start-")
        rows = [
            {
                "candidate_id": f"{start}candidate-{2 * p + s + 1}",
                "problem_id": f"problem-{p + 1}",
                "completion": HOSTILE,
                "sample_index": s,
                "completion_tokens": 9,
                "model": inputs["model"].name,
                "model_digest": inputs["model"].digest,
            }
            for p in range(2)
            for s in range(2)
        ]
        return iter([filled("candidates", rows)])

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """A checkpoint of metrics, and of rollouts where problems are trained on."""
        steps = range(1, 6)
        metrics = [
            {"metric_id": f"m{i}", "stage": node.name, "step": i, "metric": "reward", "value": i / 5} for i in steps
        ]
        tables = {"metrics": filled("metrics", metrics)}
        if "problems" in inputs:
            rollout = {"rollout_id": "rollout-1", "problem_id": "problem-1", "completion": HOSTILE}
            tables["rollouts"] = filled("rollouts", [rollout])
        files = tuple(self._file(f"{node.folder(key)}/{n}.parquet", t) for n, t in tables.items())
        manifest = Manifest(
            kind="checkpoint",
            name=f"{RECIPE}/{node.name}",
            path=node.folder(key),
            key=key,
            step=node.step.name,
            version=node.step.version,
            digest=checkpoint_digest(files),
            files=files,
            parents=parents(inputs),
            counts={"steps": len(steps)},
        )
        commit(self.lake, manifest)

    def check(self, node: Node, rows: Callable[[], pa.Table]) -> tuple[dict[str, object], ...]:
        """One expectation that holds."""
        return ({"expectation": "expect_rows", "column": "", "success": True, "failing": 0, "examples": []},)

    def _file(self, path: str, frame: pl.DataFrame) -> FileEntry:
        sink = io.BytesIO()
        pq.write_table(frame.to_arrow(), sink)
        self.lake.write(path, sink.getvalue())
        return FileEntry(path=path, bytes=len(sink.getvalue()), sha256=digest_bytes(sink.getvalue()))


def problems(*, params: Told) -> pl.DataFrame:
    """Two problems."""
    rows = [
        {"problem_id": f"problem-{i}", "question": f"2+{i}=?{params.mark}", "kind": "math", "answer": str(2 + i)}
        for i in (1, 2)
    ]
    return filled("problems", rows)


def verdicts(*, params: Params, candidates: pl.DataFrame) -> pl.DataFrame:
    """The first sample is correct, the second wrong; `dev1` is never wrong."""
    rows = candidates.select("candidate_id", "problem_id", "sample_index").to_dicts()
    wrong = [r["sample_index"] == 1 and not r["candidate_id"].startswith("dev1") for r in rows]
    told = [
        {
            "candidate_id": r["candidate_id"],
            "problem_id": r["problem_id"],
            "verdict": "wrong" if w else "correct",
            "answer": "4" if w else "3",
        }
        for r, w in zip(rows, wrong, strict=True)
    ]
    return filled("verdicts", told)


def measures(*, params: Params, candidates: pl.DataFrame) -> pl.DataFrame:
    """Nothing said in any language."""
    rows = candidates.select("candidate_id", "problem_id").to_dicts()
    return filled("measures", [{**r, "language_consistency": None, "format_ok": True, "repetition": 0.0} for r in rows])


def drops(*, params: Params, candidates: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """What is wrong leaves, and so does what candidate-3 says."""
    rows = [
        {"row_id": c, "problem_id": p, "gate": "verdict", "reason": "wrong" if v == "wrong" else "other"}
        for c, p, v in verdicts.select("candidate_id", "problem_id", "verdict").iter_rows()
        if c != "candidate-1"
    ]
    return filled("drops", [{**r, "value": "<b>", "evidence": HOSTILE} for r in rows])


def examples(*, params: Params, candidates: pl.DataFrame, drops: pl.DataFrame) -> pl.DataFrame:
    """What is left, as an example."""
    kept = candidates.filter(~pl.col("candidate_id").is_in(drops["row_id"].to_list()))
    rows = [
        {"example_id": "example-1", "parent_id": c, "problem_id": p, "prompt": "2+1=?", "completion": text}
        for c, p, text in kept.select("candidate_id", "problem_id", "completion").iter_rows()
    ]
    return filled("sft_examples", rows)


def step(name: str, table: str, run: Callable[..., object] | None) -> Step:
    """A step that makes a table: by a function, or by the services."""
    return Step(name, "1", "reduce" if run else "call", TABLES[table], run)


def sampled(prefix: str, model: str) -> list[Node]:
    """candidates, verdicts and measures of a model."""
    name = f"{prefix}/candidates"
    told, of = Told(), {"candidates": name}
    return [
        Node(name, "s", step("ask", "candidates", None), told, {"problems": "problems", "model": model}),
        Node(f"{prefix}/verdicts", "s", step("judge", "verdicts", verdicts), told, of),
        Node(f"{prefix}/measures", "s", step("measure", "measures", measures), told, of),
    ]


def nodes(mark: str = "") -> list[Node]:
    """The recipe; a mark changes the problems and all that follows."""
    told = Told()
    train = Step("train", "1", "train", None)
    judged = {"candidates": "cold_start/candidates", "verdicts": "cold_start/verdicts"}
    made = {"candidates": "cold_start/candidates", "drops": "cold_start/drops"}
    found = [
        Node("problems", "s", step("make_problems", "problems", problems), Told(mark=mark)),
        Node("base", "s", train, told),
        Node("zero", "s", train, told, {"init": "base", "problems": "problems"}),
        *sampled("cold_start", "zero"),
        Node("cold_start/drops", "s", step("gate", "drops", drops), told, judged),
        Node("cold_start", "s", step("make_examples", "sft_examples", examples), told, made),
        Node("dev1", "s", train, told, {"init": "base", "examples": "cold_start"}),
    ]
    for name in EVALUATED:
        inputs = {t: f"eval/{name}/{t}" for t in ("candidates", "verdicts", "measures")} | {"problems": "problems"}
        params = EvaluateParams(checkpoint=name, sampling=SamplingParams(samples=2, temperature=1.0), bootstrap=50)
        found += [*sampled(f"eval/{name}", name), Node(f"eval/{name}", "s", EVALUATE, params, inputs)]
    return found


def make_lake(folder: Path, mark: str = "") -> Lake:
    """Run the recipe in a folder."""
    return run_in(Lake.open(str(folder)), mark)


def run_in(lake: Lake, mark: str = "") -> Lake:
    """Run the recipe in a lake; what is done is skipped."""
    runner = Runner(lake, RECIPE, Services(lake), report=lambda _: None)
    for node in nodes(mark):
        runner.run(node)
    return lake
