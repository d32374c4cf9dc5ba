"""`python -m benchmarks.resume --kills 30`: trainings on two ranks killed (-9) at random, against undisturbed ones.

SFT, reward models and GRPO, by the product's launcher, torchrun and mains; rollouts of a server, of transformers or
vLLM (--inside) in every rank, or asked one step ahead. A run is killed a few times, at a step and a fraction of a
second drawn from the seed or while it starts; the victim is everything, torchrun, or one rank. Then it goes on to its
end. Every logged metric (but `VOLATILE` ones), the rollouts and the checkpoint's digest are compared bit by bit with a
run that nobody disturbed. A line a run, counts at the end; exit code 1 if any run ended otherwise.
"""

import argparse
import json
import random
import signal
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

from r1data.errors import StageFailed
from r1data.generate.server import Server, start_server
from r1data.launch import Child, TrainingJob, launch
from r1data.manifest import MANIFEST, Manifest, read_manifest
from r1data.pins import pinned
from r1data.recipe import SHIPPED, Recipe, load_recipe
from r1data.refs import move_ref, resolve
from r1data.stages import node_named
from r1data.step import Node
from r1data.steps.preferences import preference, preferences_frame
from r1data.training_params import ArchitectureParams, PretrainParams
from tests.training.conftest import OPTIMIZER, Workshop, corpus_rows
from training.core import VOLATILE

BFLOAT = 'dtype = "bfloat16", zero_stage = 3, gradient_checkpointing = true'
# sections of the smoke recipe that are other ones here: more steps, and settings that resuming could get wrong
SECTIONS = {
    "dev1": "epochs = 2\nbatch = 8\nsave_every = 2\noptimizer = { learning_rate = 1e-3, micro_batch = 2 }",
    "dev3": "epochs = 1\nbatch = 8\nsave_every = 3\nmax_length = 64\npack_tokens = 128\n"
    f"optimizer = {{ learning_rate = 1e-3, micro_batch = 2, {BFLOAT}, loss_chunk = 16 }}",
    "rm_helpful": 'target = "helpful"\nepochs = 2\nbatch = 8\nsave_every = 3\n'
    "optimizer = { learning_rate = 1e-3, micro_batch = 2 }",
    "zero": "steps = 6\nprompts_per_step = 4\ngroup = 4\nmax_tokens = 24\nupdates_per_rollout = 2\nsave_every = 2\n"
    "kl = 0.1\nreference_every = 2\noptimizer = { learning_rate = 1e-3, micro_batch = 2 }",
    "dev2": "steps = 6\nprompts_per_step = 4\ngroup = 4\nmax_tokens = 24\nsave_every = 2\ndynamic_sampling = 2\n"
    'kl = 0.1\nkl_place = "reward"\nkl_estimator = "k1"\nkeep = { policy = "best", window = 2 }\n'
    f"optimizer = {{ learning_rate = 1e-3, micro_batch = 2, {BFLOAT} }}",
    "r1": "steps = 7\nprompts_per_step = 4\ngroup = 4\nmax_tokens = 32\nsave_every = 3\nkl = 0.1\nmax_staleness = 1\n"
    'dynamic_sampling = 1\noverlong = "penalty"\noverlong_buffer = 32\n'
    "optimizer = { learning_rate = 1e-2, micro_batch = 2 }",
    # rollouts of the ranks' own model: to end early is all that it can earn
    "student_rl": "steps = 5\nprompts_per_step = 4\ngroup = 4\nmax_tokens = 48\nsave_every = 2\nkl = 0.1\n"
    'overlong = "penalty"\noverlong_buffer = 48\n'
    "optimizer = { learning_rate = 1e-2, micro_batch = 2 }",
}
# where rollouts are made; beside: by rank 0 while it trains, with log-probs, which the fake server does not give
ENGINES = {"zero": "server", "dev2": "server", "r1": "beside", "student_rl": "hf"}
NODES = ("dev1", "rm_helpful", "zero", "dev3", "dev2", "student_rl", "r1")
VICTIMS = ("everything", "torchrun", "rank 0", "rank 1")
START_S = 8.0


@dataclass(frozen=True)
class Kill:
    """Who is killed, and how many seconds after step `step` of `of` was told; step 0: after the start.

    With `recorded` not before `node` had the rollouts of so many steps written down.
    """

    victim: str
    step: int
    of: int
    seconds: float
    recorded: int = 0
    node: str = ""


@dataclass(frozen=True)
class Result:
    """What a run has to have in common with every other: digest, bits of metrics, rollouts, counts."""

    digest: str
    metrics: dict[tuple[int, str], bytes]
    rollouts: list[dict[str, Any]]
    counts: dict[str, Any]

    def differences(self, other: "Result") -> list[str]:
        """In words; empty if there are none."""
        names = self.metrics.keys() | other.metrics.keys()
        found = [f"{n} of step {s}" for s, n in sorted(names) if self.metrics.get((s, n)) != other.metrics.get((s, n))]
        for what in ("digest", "rollouts", "counts"):
            found += [what] if getattr(self, what) != getattr(other, what) else []
        return found


@dataclass
class Stand:
    """A lake with what trainings need, and a recipe of tiny ones; a context manager that ends its server.

    `sections` of the recipe and `engines` by node instead of `SECTIONS` and `ENGINES`.
    """

    folder: Path
    ranks: int = 2
    sections: dict[str, str] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    server: Server | None = None

    def __enter__(self) -> "Stand":
        """Make everything."""
        text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
        parts = [_section(part, SECTIONS | self.sections) for part in text.split("\n\n")]
        self.file = self.folder / "tiny.toml"
        self.file.write_text("\n\n".join(parts).replace("parallel = 2", f"ranks = {self.ranks}"), encoding="utf-8")
        self.shop = Workshop(self.folder)
        base = self._base()
        given = {"base": base, "dev1": base, "dev3": base, "student_base": base, "problems": self.shop.problems(12)}
        given |= {"rm_helpful": base, "rm_safe": base}  # without general prompts r1 asks them nothing
        given |= {"cold_start/reviewed": self.shop.examples(40), "sft_mix": self.shop.examples(64)}
        given |= {"preferences": self.shop.dataset("preferences", "preferences", preferences_frame(_pairs(60)))}
        for name, manifest in given.items():
            move_ref(self.shop.lake, f"{self.recipe.name}/{name}", manifest)
        self.start_server()
        return self

    def __exit__(self, *_: object) -> None:
        """End the server."""
        self.stop_server()

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of tiny trainings."""
        return pinned(load_recipe(str(self.file)))

    def start_server(self) -> None:
        """The fake engine."""
        model = self.shop.model(resolve(self.shop.lake, f"{self.recipe.name}/base"))
        self.server = start_server(model, "fake", sys.executable, self.folder / "fake.log")
        self.url = self.server.url

    def stop_server(self) -> None:
        """From now on nobody answers at its address."""
        if self.server is not None:
            self.server.stop()
            self.server = None

    def _base(self) -> Manifest:
        from training import pretrain

        shape = ArchitectureParams(hidden_size=32, intermediate_size=32, layers=1, heads=1, kv_heads=1)
        params = PretrainParams(architecture=shape, optimizer=OPTIMIZER, steps=2, batch=4, max_length=48)
        corpus = self.shop.dataset("corpus", "corpus", corpus_rows(64))
        job = self.shop.job("base", "pretrain", params, {"corpus": corpus})
        before = signal.getsignal(signal.SIGTERM)
        pretrain.train(job)
        signal.signal(signal.SIGTERM, before)  # a training's own only sets a mark
        return self.shop.committed(job)

    def job(self, names: str) -> TrainingJob:
        """What the launcher is told of a node; of several (a,b) that they follow each other in the same processes."""
        engines = {n: (ENGINES | self.engines).get(n, "") for n in names.split(",")}
        first, asked = next(iter(engines)), set(engines.values())
        urls = (self.url,) if asked & {"server", "beside"} else ()
        node, key = self._keyed(first)
        module, told = node.step.module or "", names
        if len(engines) > 1 or "beside" in asked:
            module, key = "tests.training.mains", ""
            told = ",".join(f"{n}:{engine}" for n, engine in engines.items())
        where = (self.shop.lake.url, key, self.folder / "scratch", urls, ("policy",) * len(urls))
        return TrainingJob(module, str(self.file), told, *where, rollouts="hf" if asked == {"hf"} else "server")

    def _keyed(self, name: str) -> tuple[Node, str]:
        node = node_named(self.recipe, name)
        given = {role: resolve(self.shop.lake, f"{self.recipe.name}/{n}").digest for role, n in node.inputs.items()}
        return node, node.key(given)

    def folder_of(self, name: str) -> str:
        """Where a node's checkpoint goes in the lake."""
        node, key = self._keyed(name)
        return node.folder(key)

    def committed(self, names: str) -> bool:
        """Whether all of these have a checkpoint."""
        return all(self.shop.lake.exists(f"{self.folder_of(n)}/{MANIFEST}") for n in names.split(","))

    def attempt(self, names: str, kill: Kill | None = None) -> bool:
        """Launch trainings once, unless they are committed, killed or not; whether they are committed."""
        children, timers = set[Child](), list[threading.Timer]()

        def aim(kill: Kill) -> None:
            timers.append(threading.Timer(kill.seconds, self._end, (children, kill)))
            timers[-1].start()

        def told(line: str) -> None:
            self.told.append(line)
            if kill and kill.step and not timers and line.startswith(f"step {kill.step}/{kill.of} "):
                aim(kill)

        if self.committed(names):
            return True
        if kill and not kill.step:
            aim(kill)
        with suppress(StageFailed):
            launch(self.job(names), sys.executable, self.recipe.cluster, told, children)
        for timer in timers:
            timer.cancel()
            timer.join()
        return self.committed(names)

    def recorded(self, name: str) -> int:
        """Of how many steps the rollouts are written down."""
        return len(list(self.folder.glob(f"scratch/{name}/*/rollouts/step-*.parquet")))

    def _end(self, children: set[Child], kill: Kill) -> None:
        """kill -9 of a launched training, or of one process of it; of everything, all that live are found first."""
        while kill.recorded and children and self.recorded(kill.node) < kill.recorded:
            time.sleep(0.01)
        for child in list(children):
            with suppress(psutil.NoSuchProcess):  # it ended by itself
                torchrun = psutil.Process(child.pid)
                below = torchrun.children(recursive=True)
                ranks = {p.environ().get("RANK"): p for p in below}
                chosen = {"torchrun": torchrun, "rank 0": ranks.get("0"), "rank 1": ranks.get("1")}.get(kill.victim)
                for process in [chosen] if chosen else [torchrun, *below]:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                self.made[kill.victim if chosen else "everything"] += 1

    def whole(self, names: str) -> dict[str, Result]:
        """Launched until they are committed, the last time in peace; then they are taken out of the lake."""
        if not self.attempt(names):
            raise AssertionError("\n".join(self.told[-30:]))
        return {name: self.taken(name) for name in names.split(",")}

    def taken(self, name: str) -> Result:
        """The result of a node; then its folder is deleted."""
        lake, folder = self.shop.lake, self.folder_of(name)
        manifest = read_manifest(lake, folder)
        rows = pq.read_table(lake.path(f"{folder}/metrics.parquet")).to_pylist()
        metrics = {(r["step"], r["metric"]): struct.pack("<d", r["value"]) for r in rows if r["metric"] not in VOLATILE}
        rollouts = f"{folder}/rollouts.parquet"
        asked = pq.read_table(lake.path(rollouts)).to_pylist() if lake.exists(rollouts) else []
        for path in lake.names(folder):
            lake.delete(path)
        told = {**manifest.counts, "labels": manifest.labels, "probe": json.dumps(manifest.probe)}
        return Result(manifest.digest, metrics, asked, told)


def _section(part: str, ours: dict[str, str]) -> str:
    """A section of the smoke recipe, or ours in its place."""
    name = part.partition("]")[0].removeprefix("[")
    return f"[{name}]\n{ours[name]}\n" if name in ours else part


def _pairs(count: int) -> list[dict[str, object]]:
    """Preferences for the right sum."""
    found = []
    for i in range(count):
        about = {"problem_id": f"p{i % 12}", "prompt": f"User: {i}+{i}=? Assistant: "}
        good, bad = ({**about, "candidate_id": f"{i}-{t}", "completion": t} for t in (f"{2 * i}", f"{2 * i}!!!"))
        found.append(preference(good, bad, 1.0, "rule"))
    return found


def drawn(rng: random.Random, steps: int, victims: Sequence[str] = VICTIMS) -> Kill:
    """A kill at a random step of so many, or in one of ten cases while it starts."""
    victim = rng.choice(victims)
    if rng.random() < 0.1:
        return Kill(victim, 0, steps, rng.uniform(0, START_S))
    return Kill(victim, rng.randint(1, steps - 1), steps, rng.uniform(0, 0.3))


def campaign(stand: Stand, kills: int, rng: random.Random, nodes: Sequence[str] = NODES) -> int:
    """Runs of each node in turn until so many kills were made; how many ended otherwise than an undisturbed one."""
    whole = {name: stand.whole(name)[name] for name in nodes}
    found, runs, bad = Counter[str](), 0, 0
    while stand.made.total() < kills:
        name = nodes[runs % len(nodes)]
        asked = [drawn(rng, whole[name].counts["steps"]) for _ in range(rng.randint(1, 4))]
        before = stand.made.total()
        for kill in sorted(asked, key=lambda k: k.step):
            stand.attempt(name, kill)
        differing = whole[name].differences(stand.whole(name)[name])
        runs, bad = runs + 1, bad + bool(differing)
        found[name] += stand.made.total() - before
        print(f"{name}: {stand.made.total() - before} kills, {differing or 'equal'}", flush=True)
    compared = {name: len(result.metrics) for name, result in whole.items()}
    print(f"kills {stand.made.total()}, runs {runs}, different {bad}", f"by victim {dict(stand.made)}", sep="\n")
    print(f"by training {dict(found)}", f"metric values compared a run {compared}", sep="\n")
    return bad


def main(arguments: list[str]) -> int:
    """The campaign of the command line; 1 if a run ended otherwise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.resume", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=30, help="kills in all (30)")
    parser.add_argument("--seed", type=int, default=1, help="of victims and moments (1)")
    parser.add_argument("--nodes", nargs="+", choices=NODES, default=NODES, help="which trainings (all)")
    how = "what makes rollouts in the ranks of student_rl: transformers (hf) or vLLM (in_process)"
    parser.add_argument("--inside", choices=("hf", "in_process"), default="hf", help=how)
    told = parser.parse_args(arguments)
    engines = {"student_rl": told.inside}
    with tempfile.TemporaryDirectory() as folder, Stand(Path(folder), engines=engines) as stand:
        return int(campaign(stand, told.kills, random.Random(told.seed), told.nodes) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
