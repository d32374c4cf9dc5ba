"""Run a node of a recipe: skip it if its key is committed, else compute, check, commit, and move the ref.

Invariant: everything impure is here. A ref moves only after the commit; a map shard already computed with the same key,
by this run or any earlier one, is reused.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import polars as pl
import pyarrow as pa

from r1data.digest import digest_json
from r1data.errors import LakeError, StageFailed
from r1data.events import Run, attempt, new_run_id, run_id
from r1data.keeping import kept_checkpoints
from r1data.lease import lease
from r1data.lineage import code_identity, commit
from r1data.manifest import (
    Manifest,
    Parent,
    Rows,
    Shard,
    dataset_digest,
    find_manifest,
    is_committed,
    read_manifest,
)
from r1data.mapping import MapWork, Spread, conformed, map_here, write_shard
from r1data.mapping import frame_of as frame_of
from r1data.refs import move_ref, resolve
from r1data.step import ELSEWHERE, Node
from r1data.storage import Lake

SHARD_ROWS = 50_000
FLOW_RUN = "prefect_flow_run"


class Services(Protocol):
    """What a step that is not pure may use: model servers, training processes, table checks."""

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """Answers of a model, complete, in the shards that they are to have."""
        ...

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """Run the training process of a node; it commits the checkpoint itself."""
        ...

    def check(self, node: Node, rows: Rows) -> tuple[dict[str, object], ...]:
        """Results of the table's expectations, on the columns that they need; raises `CheckFailed`."""
        ...


@dataclass
class Runner:
    """Runs nodes in order and remembers what each produced.

    `admit` is asked before a ref moves, of datasets made now or found, and raises `CheckFailed` where it must not.
    `spread` computes the shards of map steps, here or on other machines.
    `kept` has the checkpoints of nodes that are kept by reference, so that a ref that moves meanwhile changes nothing.
    Events name the Prefect flow run in `labels` as the parent run, else this runner's own `run_id`.
    """

    lake: Lake
    recipe: str
    services: Services
    labels: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = print
    wait_for_lease: bool = True
    admit: Callable[[Node, Manifest], None] = lambda node, manifest: None
    kept: Mapping[str, Manifest] = field(default_factory=dict)
    done: dict[str, Manifest] = field(default_factory=dict)
    run_id: str = field(default_factory=new_run_id)
    spread: Spread = map_here

    def run(self, node: Node) -> tuple[Manifest, bool]:
        """The node's manifest, and whether it was there already."""
        if node.kept:
            return self._published(
                node, self.kept.get(node.name) or kept_checkpoints(self.lake, [node])[node.name]
            ), True
        inputs = {role: self._input(name) for role, name in node.inputs.items()}
        key = node.key({role: m.digest for role, m in inputs.items()})
        folder = node.folder(key)
        manifest, skipped = find_manifest(self.lake, folder), True
        if manifest is None:
            self.report(f"{node.name}: {node.step.name} ({node.step.kind})")
            skipped = self._compute_once(node, key, inputs)
            manifest = read_manifest(self.lake, folder)
        return self._published(node, manifest), skipped

    def _published(self, node: Node, manifest: Manifest) -> Manifest:
        self.admit(node, manifest)
        move_ref(self.lake, f"{self.recipe}/{node.name}", manifest)
        self.done[node.name] = manifest
        return manifest

    def _compute_once(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> bool:
        """Compute, unless another run that held the lease on this training has done it meanwhile."""
        if (
            node.step.kind != "train"
        ):  # generation has a lease of its own; the rest is cheaper done twice than waited for
            self._compute(node, key, inputs)
            return False
        with lease(self.lake, f"{node.name}/{key}", partial(_told, self.report, node.name), wait=self.wait_for_lease):
            found = is_committed(self.lake, node.folder(key))
            if not found:
                self._compute(node, key, inputs)
        return found

    def _input(self, name: str) -> Manifest:
        if name.startswith(ELSEWHERE):
            return resolve(self.lake, name.removeprefix(ELSEWHERE))
        if name not in self.done:
            raise LakeError(f"{name}: used before it was run", "run the stages in the recipe's order")
        return self.done[name]

    def _compute(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        started = time.time()
        run = self._attempt(node, key, started)
        with attempt(self.lake, run, node.folder(key), parents(inputs), started):
            if node.step.kind == "train":
                self.services.train(node, key, inputs)
                if not is_committed(self.lake, node.folder(key)):
                    raise StageFailed(f"{node.name}: training ended but committed no checkpoint", "see its log above")
                return
            shards = self._map(node, inputs) if node.step.kind == "map" else self._whole(node, key, inputs)
            self._commit(node, key, inputs, shards, started)

    def _attempt(self, node: Node, key: str, started: float) -> Run:
        """Who computes the node now, for the lineage events."""
        job, step = f"{self.recipe}/{node.name}", node.step
        return Run(
            job=job,
            id=run_id(job, key, started),
            parent=self.labels.get(FLOW_RUN) or self.run_id,
            step=step.name,
            module=step.module or getattr(step.run, "__module__", ""),
            commit=code_identity()["commit"],
        )

    def _commit(
        self, node: Node, key: str, inputs: Mapping[str, Manifest], shards: tuple[Shard, ...], started: float
    ) -> None:
        output = node.step.output
        assert output is not None, f"{node.name}: only training has no output table"
        rows = sum(s.rows for s in shards)
        draft = Manifest(
            kind="dataset",
            name=f"{self.recipe}/{node.name}",
            path=node.folder(key),
            key=key,
            step=node.step.name,
            version=node.step.version,
            table=output.id,
            digest=dataset_digest(output.id, shards),
            rows=rows,
            shards=shards,
            parents=parents(inputs),
            params=node.params.model_dump(mode="json"),
            counts={f"rows_in_{r}": m.rows for r, m in inputs.items() if m.kind == "dataset"} | {"rows_out": rows},
            labels=dict(self.labels),
            started=started,
        )
        checks = self.services.check(node, Rows.of(self.lake, draft))
        commit(self.lake, draft.model_copy(update={"checks": checks}))

    def _whole(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> tuple[Shard, ...]:
        pieces = self._called(node, key, inputs) if node.step.kind == "call" else self._reduced(node, inputs)
        return tuple(
            write_shard(self.lake, node, f"{key}/part-{i:05d}", p, digest_json([key, i])) for i, p in enumerate(pieces)
        )

    def _called(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pa.Table]:
        """A model's answers, one shard in memory at a time; one empty shard of no answers."""
        assert node.step.output is not None, f"{node.name}: only training has no output table"
        empty = True
        for frame in self.services.call(node, key, inputs):
            yield conformed(node, frame)
            empty = False
        if empty:
            yield node.step.output.empty()

    def _reduced(self, node: Node, inputs: Mapping[str, Manifest]) -> list[pa.Table]:
        assert node.step.run is not None, f"{node.step.name}: a reduce step without a function"
        frames = {role: frame_of(self.lake, m) for role, m in inputs.items()}
        result = node.step.run(params=node.params, **frames)
        assert isinstance(result, pl.DataFrame), f"{node.step.name} returned {type(result)}"
        table = conformed(node, result)
        return [table.slice(i, SHARD_ROWS) for i in range(0, max(1, table.num_rows), SHARD_ROWS)]

    def _map(self, node: Node, inputs: Mapping[str, Manifest]) -> tuple[Shard, ...]:
        aligned = {role: m for role, m in inputs.items() if role not in node.whole}
        counts = {role: len(m.shards) for role, m in aligned.items()}
        if len(set(counts.values())) != 1:
            raise LakeError(f"{node.name}: inputs of a map differ in shards: {counts}", "this is a defect: report it")
        shards = ({r: m.shards[i] for r, m in aligned.items()} for i in range(next(iter(counts.values()))))
        return self.spread(self.lake, MapWork(node, tuple(shards), {role: inputs[role] for role in node.whole}))


def _told(report: Callable[[str], None], name: str, line: str) -> None:
    report(f"  {name}: {line}")


def parents(inputs: Mapping[str, Manifest]) -> tuple[Parent, ...]:
    """The inputs as a manifest records them."""
    return tuple(Parent(role=r, name=m.name, path=m.path, digest=m.digest) for r, m in inputs.items())
