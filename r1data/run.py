"""Run a recipe without Prefect: the nodes in order, with model servers, training processes and checks of this machine.

`run_recipe("demo", settings)` is what `r1 run demo` does; the Prefect flow runs the same nodes by the same `Session`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType

import polars as pl
import pyarrow as pa

from r1data.checks.expectations import validate
from r1data.digest import digest_json, row_id
from r1data.errors import RecipeError
from r1data.generate.fleet import Fleet
from r1data.generate.pool import generate
from r1data.generate.sampling import Prompt, Sampling
from r1data.launch import TrainingJob, launch
from r1data.manifest import Manifest
from r1data.recipe import Recipe, load_recipe, recipe_path
from r1data.runner import Runner, frame_of
from r1data.settings import Settings
from r1data.stages import STAGES, graph
from r1data.stages.sampling import GenerateParams
from r1data.step import Node
from r1data.storage import Lake
from r1data.verify.canaries import check_canaries, gold_failures


@dataclass
class LocalServices:
    """Model servers, training processes and table checks on this machine."""

    lake: Lake
    recipe: Recipe
    recipe_file: str
    settings: Settings
    fleet: Fleet
    report: Callable[[str], None]

    def call(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> pl.DataFrame:
        """Candidates of a checkpoint for the chosen problems, recorded answers first."""
        params = node.params
        assert isinstance(params, GenerateParams), f"{node.name}: no call step of that kind"
        prompts = chosen_prompts(frame_of(self.lake, inputs["problems"]), params)
        if not prompts:
            raise RecipeError(
                f"{node.name}: no problems of split {params.split!r} and kinds {params.kinds}",
                "add a source to the recipe's [[sources]]",
            )
        return generate(
            self.lake,
            lambda: self.fleet.endpoint_for(inputs["model"]),
            inputs["model"],
            prompts,
            Sampling(**params.sampling.model_dump()),
            digest_json(params.template)[:16],
            self.report,
        )

    def train(self, node: Node, key: str, inputs: Mapping[str, Manifest]) -> None:
        """Start the node's training main; reinforcement learning gets the warm server of its architecture."""
        uses_engine = node.step.name == "grpo"
        endpoint = self.fleet.endpoint_for(inputs["init"]) if uses_engine else None
        job = TrainingJob(
            module=node.step.module,
            recipe=self.recipe_file,
            node=node.name,
            lake=self.settings.lake,
            key=key,
            scratch=self.settings.scratch,
            engine_url=endpoint.url if endpoint else None,
            engine_model=endpoint.model if endpoint else None,
        )
        try:
            launch(job, self.settings.python, self.recipe.cluster.ranks, self.report)
        finally:
            if endpoint:
                self.fleet.forget(endpoint.url)

    def check(self, node: Node, table: pa.Table) -> tuple[dict[str, object], ...]:
        """The table's expectations, if it has any."""
        assert node.step.output is not None, f"{node.name}: only datasets are checked"
        if node.step.output.name == "problems":
            golds = [
                a for k, a in zip(table["kind"].to_pylist(), table["answer"].to_pylist(), strict=True) if k == "math"
            ]
            failing = gold_failures(golds)
            if failing:
                self.report(f"  {len(failing)} gold answers do not verify against themselves, e.g. {failing[:3]}")
        return validate(node.step.output.name, table)


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
    report: Callable[[str], None] = print
    labels: Mapping[str, str] = field(default_factory=dict)

    def __enter__(self) -> "Session":
        """Read the recipe, open the lake, check the verifier on its canaries; servers start when first needed."""
        check_canaries()
        self.recipe = load_recipe(self.recipe_name)
        self.lake = Lake.open(self.settings.lake)
        self.fleet = Fleet(self.lake, self.settings.scratch, self.settings.python, self.settings.engine)
        self.fleet.__enter__()
        services = LocalServices(
            self.lake, self.recipe, str(recipe_path(self.recipe_name)), self.settings, self.fleet, self.report
        )
        self.runner = Runner(self.lake, self.recipe.name, services, self.labels, self.report)
        self.nodes = graph(self.recipe)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the model servers."""
        self.fleet.__exit__(kind, error, trace)

    def run_stage(self, stage: str) -> list[tuple[Manifest, bool]]:
        """Run one stage's nodes in order; each manifest, and whether it was there already."""
        return [self.runner.run(node) for node in self.nodes if node.stage == stage]


def run_recipe(
    name: str, settings: Settings, stages: list[str] | None = None, report: Callable[[str], None] = print
) -> int:
    """Run a recipe, or the stages named (earlier ones are skipped if done, else run); the number of nodes computed."""
    unknown = set(stages or []) - set(STAGES)
    if unknown:
        raise RecipeError(f"unknown stage {', '.join(sorted(unknown))}", f"stages: {', '.join(STAGES)}")
    last = max((STAGES.index(s) for s in stages), default=len(STAGES) - 1) if stages else len(STAGES) - 1
    computed = 0
    with Session(name, settings, report) as session:
        for stage in STAGES[: last + 1]:
            computed += sum(not skipped for _, skipped in session.run_stage(stage))
    return computed
