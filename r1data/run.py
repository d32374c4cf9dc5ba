"""Run a recipe without Prefect: the nodes in order, with model servers, training processes and checks of this machine.

`run_recipe("demo", settings)` is what `r1 run demo` does; the Prefect flow runs the same nodes by the same `Session`.
"""

import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import TypeVar

import polars as pl
from pydantic import ValidationError

from r1data.checks.bands import check_bands
from r1data.checks.expectations import held_before, validate
from r1data.digest import digest_json, row_id
from r1data.ends import write_ends
from r1data.errors import RecipeError
from r1data.events import RUN
from r1data.fitting import fitting, refuse
from r1data.gate_params import Band
from r1data.generate.candidates import Desk, candidates
from r1data.generate.fleet import Fleet
from r1data.generate.sampling import Identity, Prompt
from r1data.keeping import kept_checkpoints, kept_labels
from r1data.launch import Child, TrainingJob, end_child, launch, seconds_to_end
from r1data.manifest import Manifest, Rows, carried
from r1data.mapping import Spread, map_here
from r1data.outcomes.rejection import judge_of
from r1data.parallel import run_graph
from r1data.pilot import PilotRecorder
from r1data.pins import pinned
from r1data.progress import Watch
from r1data.ray_address import require_answer
from r1data.recipe import Recipe, load_cluster, load_recipe, recipe_path
from r1data.review import read_review, record_review, require_review, undecided
from r1data.reviewing import decided
from r1data.runner import Runner, frame_of
from r1data.served import served_answers
from r1data.settings import Settings
from r1data.spending import Spending
from r1data.stages import STAGES, graph, needs_of_nodes, needs_of_stages
from r1data.stages.sampling import GenerateParams
from r1data.step import Node
from r1data.steps.thresholds import check_gates
from r1data.storage import Lake
from r1data.verify.canaries import check_sources, gold_failures
from r1data.watching import PlainLines

T = TypeVar("T")
REVIEWED = "cold_start"
DROPPED = ("drops", "contaminated", "duplicates")


def say(line: str) -> None:
    """Print a line in one piece: several nodes speak at a time."""
    sys.stdout.write(f"{line}\n")


@dataclass
class LocalServices:
    """Model servers, training processes and table checks on this machine, for several nodes at a time."""

    lake: Lake
    recipe: Recipe
    recipe_file: str
    settings: Settings
    fleet: Fleet
    desk: Desk
    children: set[Child] = field(default_factory=set)
    _checking: threading.Lock = field(default_factory=threading.Lock)

    def stop(self) -> None:
        """End what runs, soon: training saves its state, sampling records what it has; nothing more is started."""
        self.desk.stopped.set()
        for child in list(self.children):
            end_child(child, seconds_to_end(self.recipe.cluster))
        self.fleet.stop()

    def _told_by(self, node: Node) -> Callable[[str], None]:
        return lambda line: self.desk.report(f"  {node.name}: {line}")

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> Iterator[pl.DataFrame]:
        """Candidates of a checkpoint for the chosen problems, or of a teacher or judge; recorded answers first."""
        params, desk = node.params, replace(self.desk, report=self._told_by(node))
        if not isinstance(params, GenerateParams):
            frames = {role: frame_of(self.lake, manifest) for role, manifest in inputs.items()}
            return served_answers(desk, self.recipe, self.settings.teacher_key, node, frames)
        problems = frame_of(self.lake, inputs["problems"])
        prompts = chosen_prompts(problems, params)
        if not prompts:
            raise RecipeError(
                f"{node.name}: no problems of split {params.split!r} and kinds {params.kinds}",
                "add a source to the recipe's [[sources]]",
            )
        _refuse_equal(node.name, prompts)
        identity = Identity(inputs["model"].digest, params.sampling.digest(), digest_json(params.template)[:16])
        pilot = self._pilot(node, problems, prompts)
        answers = candidates(
            replace(desk, watch=pilot.seen),
            lambda: self.fleet.hold(inputs["model"]),
            inputs["model"],
            prompts,
            params.sampling,
            identity.template_digest,
            node=node.name,
            judge=judge_of(problems, params.gate),
        )
        return pilot.kept_of(answers, identity)

    def _pilot(self, node: Node, problems: pl.DataFrame, prompts: list[Prompt]) -> PilotRecorder:
        """What a sampling teaches about its price; `seen` is the watcher to sample with."""
        asked = problems.filter(pl.col("problem_id").is_in([p.problem_id for p in prompts]))
        gpus = self.recipe.cluster.budget.gpus * self.recipe.cluster.engine.count
        return PilotRecorder(self.lake, self.recipe.name, node.name, asked, gpus, self.desk.watch)

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """Start the node's training main; reinforcement learning gets the warm servers of its architecture."""
        refuse(self.recipe, fitting(self.recipe, [node]))
        uses_engine = node.step.name == "grpo" and self.recipe.cluster.rollouts == "server"
        held = self.fleet.hold(inputs["init"], driven=True) if uses_engine else nullcontext()
        with held as backends, nullcontext() if uses_engine else self.fleet.slots:
            job = TrainingJob(
                module=node.step.module,
                recipe=self.recipe_file,
                node=node.name,
                lake=self.settings.lake,
                key=key,
                scratch=self.settings.scratch,
                engine_urls=tuple(b.endpoint.url for b in backends or ()),
                engine_models=tuple(b.endpoint.model for b in backends or ()),
                sync_bucket_mb=self.recipe.cluster.sync_bucket_mb,
                weights_over=self.recipe.cluster.weights_over,
                rollouts=self.recipe.cluster.rollouts if node.step.name == "grpo" else "server",
                run=RUN.get(),
            )
            launch(job, self.settings.python, self.recipe.cluster, self._told_by(node), self.children)

    def check(self, node: Node, rows: Rows) -> tuple[dict[str, object], ...]:
        """The table's expectations, one dataset at a time: memory stays that of one."""
        if rows.table == "problems":
            golds = rows(["kind", "answer"])
            failing = gold_failures(zip(golds["kind"].to_pylist(), golds["answer"].to_pylist(), strict=True))
            if failing:
                told = f"{len(failing)} gold answers do not verify against themselves, e.g. " + "; ".join(failing[:3])
                self._told_by(node)(told)
        with self._checking:
            return validate(rows)

    def admit(self, node: Node, manifest: Manifest) -> None:
        """The bands of the recipe, on what its gates dropped; the tables that a checkpoint carries, once."""
        check_bands(self.lake, manifest, self._bands(node))
        for rows in carried(self.lake, manifest):
            if not held_before(rows):
                with self._checking:
                    validate(rows)

    def _bands(self, node: Node) -> Mapping[str, Band]:
        """The bands that are for a node's drops; where a teacher translates, language is the second gate's to judge."""
        recipe, (section, _, table) = self.recipe, node.name.partition("/")
        if section == "sft_mix" and table in DROPPED:
            return recipe.sft_mix.gate.bands
        teacher = recipe.cold_start.teacher
        later = {"language"} if teacher and teacher.mixed == "translate" else set()
        told = recipe.cold_start.gate.bands if section == "cold_start" else {}
        if table in DROPPED:
            return {gate: band for gate, band in told.items() if gate not in later}
        return {gate: band for gate, band in told.items() if gate in later and table == "refined/drops"}


def _refuse_equal(node: str, prompts: list[Prompt]) -> None:
    """Candidates are known by their prompt: two problems that ask the same would share them, and one have none."""
    seen: dict[str, str] = {}
    for prompt in prompts:
        other = seen.setdefault(prompt.text, prompt.problem_id)
        if other != prompt.problem_id:
            told = f"{node}: problems {other} and {prompt.problem_id} ask the same: {prompt.text[-200:]!r}"
            raise RecipeError(told, "take one of them out of the sources")


def on_cluster(recipe: Recipe, settings: Settings) -> Recipe:
    """The recipe with the cluster file, if there is one, in the place of its [cluster]."""
    if not settings.cluster:
        return recipe
    try:
        return Recipe.model_validate({**dict(recipe), "cluster": load_cluster(settings.cluster)})
    except ValidationError as e:
        raise RecipeError(f"{settings.cluster}: {e.errors()[0]['msg']}", "change the recipe or this file") from e


def chosen_prompts(problems: pl.DataFrame, params: GenerateParams) -> list[Prompt]:
    """The problems of the split and kinds, in an order that the seed fixes, at most as many as asked for."""
    rows = problems.filter((pl.col("split") == params.split) & pl.col("kind").is_in(params.kinds)).to_dicts()
    rows.sort(key=lambda r: row_id(params.seed, r["problem_id"]))
    return [
        Prompt(problem_id=r["problem_id"], text=params.template.replace("{question}", r["question"]))
        for r in rows[: params.problems]
    ]


@dataclass
class Session:
    """An open recipe on an open lake: warm model servers and a runner, closed together."""

    recipe_name: str
    settings: Settings
    report: Callable[[str], None] = say
    labels: Mapping[str, str] = field(default_factory=dict)
    watch: Watch | None = None
    spending: Spending | None = None
    spread: Spread = map_here

    def __enter__(self) -> "Session":
        """Read the recipe, open the lake, check verifier and gates on known cases; servers start when first needed."""
        self.recipe = on_cluster(pinned(load_recipe(self.recipe_name)), self.settings)
        check_sources(self.recipe.sources)
        check_gates(self.recipe)
        if self.recipe.cluster.kind == "ray":
            require_answer(self.recipe.cluster.ray)
        self.lake = Lake.open(self.settings.lake)
        self.nodes = {n.name: n for n in graph(self.recipe)}
        kept = kept_checkpoints(self.lake, self.nodes.values())
        write_ends(self.lake, report=self.report)
        slots = threading.Semaphore(self.recipe.cluster.parallel)
        engine, scratch, waits = self.recipe.cluster.engine, self.settings.scratch, self.settings.lease == "wait"
        self.fleet = Fleet(self.lake, scratch, self.settings.python, self.settings.engine, slots, engine, self.report)
        self.fleet.__enter__()
        spending = self.spending or Spending(self.recipe.cluster.budget)
        desk = Desk(
            self.lake,
            scratch,
            self.report,
            self.watch or PlainLines(self.report, spending).watch,
            spending,
            in_flight=engine.in_flight * engine.count,
            down_s=engine.down_s,
            stalled_s=engine.stalled_s,
            wait_for_lease=waits,
            stopped=self.fleet.stopped,
        )
        self.services = LocalServices(
            self.lake, self.recipe, str(recipe_path(self.recipe_name)), self.settings, self.fleet, desk
        )
        labels = {**self.labels, **kept_labels(kept, self.nodes.values())}
        told = (labels, self.report, waits, self.services.admit, kept)
        self.runner = Runner(self.lake, self.recipe.name, self.services, *told, spread=self.spread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the model servers."""
        self.fleet.__exit__(kind, error, trace)

    def run_stages(
        self, work: Callable[[str], T], wanted: Collection[str] = (), done: Collection[str] = ()
    ) -> dict[str, T]:
        """Do a piece of work for every stage (or those wanted and all they need), each after the stages it needs.

        Stages in `done` are left out.
        """
        needs = needs_of_stages(self.nodes.values())
        chosen = set(wanted) or set(needs)
        while more := {n for stage in chosen for n in needs[stage]} - chosen:
            chosen |= more
        left = {s: n - set(done) for s, n in needs.items() if s in chosen - set(done)}
        return run_graph(left, work, self.services.stop)

    def run_nodes(self, stage: str, work: Callable[[str], T]) -> dict[str, T]:
        """Do a piece of work for every node of a stage, each after the nodes it needs."""
        return run_graph(needs_of_nodes(self.nodes.values(), stage), work, self.services.stop)

    def run_node(self, name: str) -> tuple[Manifest, bool]:
        """Run one node; its manifest, and whether it was there already.

        Whatever uses the cold-start set is told the review, and raises `ReviewNeeded` until that set is accepted.
        """
        node = self.nodes[name]
        if REVIEWED in node.inputs.values():
            node = decided(node, require_review(self.lake, self.cold_start))
        found = self.runner.run(node)
        unattended = name == REVIEWED and self.recipe.cold_start.review == "accept"
        if unattended and undecided(read_review(self.lake, found[0])):
            record_review(self.lake, found[0], "the recipe", accepted=True, note='review = "accept"')
        return found

    @property
    def cold_start(self) -> Manifest:
        """The cold-start set, once its stage is done."""
        return self.runner.done[REVIEWED]

    def waits_for_review(self) -> bool:
        """Whether nobody has decided about the cold-start set yet."""
        return undecided(read_review(self.lake, self.cold_start))


def run_recipe(
    name: str,
    settings: Settings,
    stages: list[str] | None = None,
    report: Callable[[str], None] = say,
    watch: Watch | None = None,
    spending: Spending | None = None,
) -> int:
    """Run a recipe, or the stages named and what they need; the number of nodes computed."""
    unknown = set(stages or []) - set(STAGES)
    if unknown:
        raise RecipeError(f"unknown stage {', '.join(sorted(unknown))}", f"stages: {', '.join(STAGES)}")
    with Session(name, settings, report, watch=watch, spending=spending) as session:

        def computed(stage: str) -> int:
            return sum(not skipped for _, skipped in session.run_nodes(stage, session.run_node).values())

        return sum(session.run_stages(computed, stages or ()).values())
