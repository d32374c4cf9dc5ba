"""Tiny models, datasets and jobs for the training tests, made in code."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from r1data.endpoint import Endpoint
from r1data.generate.server import Server, start_server
from r1data.manifest import Manifest, read_manifest
from r1data.params import Params
from r1data.runner import Runner
from r1data.step import Node, Step
from r1data.storage import Lake
from r1data.training_params import ArchitectureParams, OptimizerParams, PretrainParams
from schemas import TABLES
from training.job import Job

OPTIMIZER = OptimizerParams(learning_rate=1e-2, warmup_steps=1, zero_stage=2, micro_batch=4)
SHAPE = ArchitectureParams(hidden_size=32, intermediate_size=32, layers=1, heads=1, kv_heads=1, max_positions=64)
PRETRAIN = PretrainParams(
    architecture=SHAPE, optimizer=OPTIMIZER, steps=2, batch=4, max_length=48, loss_after="Assistant:"
)


class _Checks:
    def check(self, node: Node, table: pa.Table) -> tuple[dict[str, object], ...]:
        return ()


class Workshop:
    """A lake in a temporary folder, jobs on it, and rows to fill it with."""

    optimizer = OPTIMIZER

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lake = Lake.open(str(folder / "lake"))

    def dataset(self, name: str, table: str, frame: pl.DataFrame) -> Manifest:
        """A committed dataset."""
        step = Step(f"given-{name}", "1", "reduce", TABLES[table], run=lambda *, params: frame)
        runner = Runner(self.lake, "test", _Checks(), report=lambda _: None)  # type: ignore[arg-type]
        return runner.run(Node(name, "given", step, Params(), {}))[0]

    def job(
        self,
        node: str,
        step: str,
        params: Params,
        inputs: dict[str, Manifest],
        scratch: str = "scratch",
        endpoint: Endpoint | None = None,
    ) -> Job:
        """A job of a node, without a command line."""
        made = Node(node, "training", Step(step, "1", "train", None, module=f"training.{step}"), params)
        key = made.key({role: m.digest for role, m in inputs.items()})
        folder = self.folder / scratch / node / key
        folder.mkdir(parents=True, exist_ok=True)
        return Job("test", made, self.lake, inputs, key, folder, (endpoint,) if endpoint else ())

    def examples(self, count: int) -> Manifest:
        """Committed SFT_EXAMPLES."""
        return self.dataset("examples", "sft_examples", example_rows(count))

    def problems(self, count: int) -> Manifest:
        """Committed PROBLEMS."""
        return self.dataset("problems", "problems", problem_rows(count))

    def model(self, checkpoint: Manifest) -> Path:
        """The folder of a checkpoint."""
        return self.lake.local_copy([f.path for f in checkpoint.files], self.folder)

    def committed(self, job: Job) -> Manifest:
        """What a job left in the lake."""
        return read_manifest(self.lake, job.folder)


def problem_rows(count: int) -> pl.DataFrame:
    """PROBLEMS: sums to train on, one general and one safety prompt, and a sum held out."""
    kinds = [*["math"] * count, "general", "safety", "math"]
    rows = range(len(kinds))
    return pl.DataFrame(
        {
            "problem_id": [f"p{i:03d}" for i in rows],
            "question": [f"{10 + i}+{i}=?" for i in rows],
            "answer": [str(10 + 2 * i) for i in rows],
            "kind": kinds,
            "category": ["arithmetic"] * len(kinds),
            "language": ["en"] * len(kinds),
            "split": [*["train"] * (len(kinds) - 1), "eval"],
            "source": ["test"] * len(kinds),
            "licence": ["test"] * len(kinds),
            "metadata": ["{}"] * len(kinds),
        }
    )


def corpus_rows(count: int) -> pl.DataFrame:
    """CORPUS of sums."""
    return pl.DataFrame(
        {
            "document_id": [f"d{i:03d}" for i in range(count)],
            "text": [
                f"User: {i}+{i}=? Assistant: <think>{i}加{i}</think><answer>{2 * i}</answer>" for i in range(count)
            ],
            "category": ["full"] * count,
            "source": ["test"] * count,
        }
    )


def example_rows(count: int) -> pl.DataFrame:
    """SFT_EXAMPLES of sums of different lengths."""
    text = {n: [""] * count for n in ("parent_id", "problem_id", "category", "language", "source", "licence")}
    return pl.DataFrame(
        {
            "example_id": [f"e{i:03d}" for i in range(count)],
            "prompt": [f"User: {i}+{i}=? Assistant: " for i in range(count)],
            "completion": [f"<think>{i} plus {i}{'!' * (i % 3)}</think><answer>{2 * i}</answer>" for i in range(count)],
            "chain_of_thought": [True] * count,
            **text,
        }
    )


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """An empty lake."""
    return Workshop(tmp_path)


@pytest.fixture
def corpus() -> pl.DataFrame:
    """CORPUS of sums."""
    return corpus_rows(16)


@pytest.fixture
def base(workshop: Workshop) -> Manifest:
    """A pre-trained checkpoint of two steps."""
    from training import pretrain

    corpus = workshop.dataset("corpus", "corpus", corpus_rows(16))
    job = workshop.job("base", "pretrain", PRETRAIN, {"corpus": corpus})
    pretrain.train(job)
    return workshop.committed(job)


@pytest.fixture
def server(workshop: Workshop, base: Manifest, tmp_path: Path) -> Iterator[Server]:
    """The fake engine with the base checkpoint."""
    found = start_server(workshop.model(base), "fake", sys.executable, tmp_path / "fake.log")
    yield found
    found.stop()


@pytest.fixture(autouse=True)
def restored_signal() -> Iterator[None]:
    """Training installs a handler of SIGTERM."""
    before: Callable[..., object] | int | None = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
