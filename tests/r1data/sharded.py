"""A recipe of two nodes with as many shards as wanted: documents, and the same documents marked, shard by shard."""

from collections.abc import Iterator, Mapping

import polars as pl

from r1data.checks.suites import columns_of, narrow, suite_of
from r1data.manifest import Manifest, Rows
from r1data.params import Params
from r1data.runner import Runner
from r1data.step import Node, Step
from r1data.storage import Lake
from schemas import TABLES

RECIPE = "sharded"


class Told(Params):
    """How many documents, each in a shard of its own where a shard holds one row; and a mark."""

    documents: int = 3
    mark: str = "!"


class Services:
    """What the expectations of the table read, if wanted; no models, no training."""

    def __init__(self, checked: bool = False) -> None:
        self.checked = checked

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """No call steps here."""
        raise NotImplementedError

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """No training here."""
        raise NotImplementedError

    def check(self, node: Node, rows: Rows) -> tuple[dict[str, object], ...]:
        """Read the columns that they are about; Great Expectations itself sees that frame alone."""
        suite = suite_of(rows.table)
        if self.checked and suite:
            narrow(rows, columns_of(suite))
        return ()


def made(*, params: Told) -> pl.DataFrame:
    """Documents in order."""
    names = [f"document-{i:03d}" for i in range(params.documents)]
    return pl.DataFrame({"document_id": names, "text": names, "category": "c", "source": "s"})


def marked(*, params: Told, documents: pl.DataFrame) -> pl.DataFrame:
    """The documents with a mark."""
    return documents.with_columns(text=pl.col("text") + params.mark)


def nodes(documents: int = 3, mark: str = "!") -> list[Node]:
    """documents and marked."""
    corpus, told = TABLES["corpus"], Told(mark=mark)
    return [
        Node("documents", "s", Step("made", "1", "reduce", corpus, made), Told(documents=documents)),
        Node("marked", "s", Step("marked", "1", "map", corpus, marked), told, {"documents": "documents"}),
    ]


def runner(lake: Lake, checked: bool = False) -> Runner:
    """One that has run nothing yet."""
    return Runner(lake, RECIPE, Services(checked), report=lambda _: None)


def run_in(lake: Lake, mark: str = "!", documents: int = 3) -> list[bool]:
    """Run both nodes; whether each was there already."""
    runs = runner(lake)
    return [runs.run(node)[1] for node in nodes(documents, mark)]
