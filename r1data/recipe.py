"""The recipe: one TOML file read into one frozen model. Unknown keys, wrong types and missing files are answered with
file, field and remedy. `load_recipe("demo")` finds a shipped recipe by name, `load_recipe("my.toml")` a file.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from r1data.cleaning_params import DecontaminationParams, DedupParams
from r1data.cluster_params import ClusterParams, EngineParams
from r1data.data_params import (
    AskedParams,
    FeedbackParams,
    HumanParams,
    MixtureParams,
    NonReasoningParams,
    PairLengthParams,
    PartParams,
    ServedParams,
    TeacherParams,
    ThoughtParams,
    ZeroExamplesParams,
)
from r1data.errors import RecipeError
from r1data.gate_params import ColdStartGate, GateExample, GateSection
from r1data.languages import KNOWN, code_of
from r1data.params import Params
from r1data.ray_params import RayParams
from r1data.sampling_params import SamplingParams
from r1data.spending import BudgetParams, GpuParams
from r1data.training_params import GrpoParams, OptimizerParams, PretrainParams, RewardModelParams, SftParams

SHIPPED = Path(__file__).resolve().parent.parent / "flows" / "recipes"
TEMPLATES = Path(__file__).resolve().parent / "templates"
EVALUATED = ("base", "zero", "dev1", "dev2", "dev3", "r1", "student_base", "distill", "student_rl")


class SourceParams(Params):
    """Problems from `reasoning-gym` (task + options) or from a JSONL or Parquet URL with a column mapping."""

    name: str
    kind: Literal["math", "code", "choice", "logic", "judged", "general"] = Field(
        default="math", description="who verifies it"
    )
    split: Literal["train", "eval", "benchmark"] = "train"
    task: str | None = Field(default=None, description="a reasoning-gym task, e.g. chain_sum")
    options: dict[str, int | float | str | bool] = {}
    size: int = 0
    seed: int = 0
    url: str | None = Field(default=None, description="JSONL or Parquet: local path, s3:// or https://")
    columns: dict[str, str] = Field(
        default={},
        description="our column = theirs: question, answer, options, tests, solution (to decontaminate by) ...",
    )
    answer_after: str | None = Field(default=None, description="the gold answer follows this mark, as #### in GSM8K")
    limit: int | None = None
    wording: dict[str, str] = Field(default={}, description="question by language, from the task's {a} {op} {b}")
    language: str = "en"
    category: str = "arithmetic"
    licence: str = "Apache-2.0"
    pin: str = Field(default="", description="what the file was when the run began; filled in by the run")

    @model_validator(mode="after")
    def _known_language(self) -> "SourceParams":
        for language in (self.language, *self.wording):
            if code_of(language) is None:
                raise ValueError(f"language {language!r} is not known; known: {', '.join(sorted(KNOWN))}")
        return self


class ModelSource(Params):
    """Where a base model comes from: a folder of safetensors, or the demo's own pre-training."""

    path: str | None = None
    pretrain: PretrainParams | None = None
    pin: str = Field(default="", description="what the file was when the run began; filled in by the run")


class JudgeParams(ServedParams):
    """An OpenAI-compatible chat endpoint that judges answers and pairs (its key: R1_TEACHER_KEY).

    With one, preferences are its votes in both orders, and problems of kind `judged` are verified against their
    reference. Without one, preferences follow the demo's stated rule, and `judged` problems stay undecided.
    """

    answer_template: str = Field(default="judge_answer", description="with {question}, {reference} and {answer}")
    pair_template: str = Field(default="judge_pair", description="with {question}, {a} and {b}")
    max_tokens: int = 2048
    answer_votes: int = Field(default=1, ge=1)
    pair_votes: int = Field(default=4, ge=2, multiple_of=2, description="half of them in each order")
    budget: int | None = Field(default=None, description="most answers judged per dataset; the others stay undecided")


class TestWriterParams(ServedParams):
    """An endpoint that writes input generators for programming problems (its key: R1_TEACHER_KEY).

    Kept are inputs that programs known to be right agree on and one known to be wrong fails.
    """

    template: str = Field(default="write_tests", description="the prompt, with {question}")
    max_tokens: int = 4096
    generators: int = Field(default=2, ge=1, description="for each problem")


class ColdStartParams(Params):
    """Sample R1-Zero, keep correct and readable, refine, review (paper B.3.2); other sources beside it (v1 2.3.1)."""

    problems: int
    sampling: SamplingParams
    gate: ColdStartGate = ColdStartGate()
    dedup: DedupParams | None = None
    teacher: TeacherParams | None = None
    zero: ZeroExamplesParams = ZeroExamplesParams()
    few_shot: AskedParams | None = None
    reflective: AskedParams | None = None
    feedback: FeedbackParams | None = None
    human: HumanParams | None = None
    review: Literal["accept", "wait"] = Field(default="accept", description="who decides: the recipe, or a person")
    review_hours: float = Field(default=168, gt=0, description="how long the flow waits for a person; then it fails")


class MixParams(Params):
    """Rejection sampling from dev2 plus non-reasoning data (paper B.3.3).

    The general part is what [[non_reasoning]] imports; without any, `general_examples` of the demo's small talk.
    """

    problems: int
    sampling: SamplingParams
    gate: GateSection = GateSection()
    dedup: DedupParams | None = None
    general_examples: int = 120
    general_with_thought: tuple[str, ...] = ("translation",)
    thoughts: ThoughtParams | None = None
    mixture: MixtureParams | None = None
    seed: int = 0


class PairParams(Params):
    """Which pairs of responses are preferences, whoever compares them."""

    sampling: SamplingParams
    least_margin: float = Field(default=1, description="points between the two; a judge must go above it")
    max_pairs: int = 400


class PreferenceParams(PairParams):
    """Responses of dev3 judged in pairs (helpful) and labelled (safe) (paper 3.1, B.2)."""

    lengths: PairLengthParams = Field(default=PairLengthParams(), description="of pairs that [judge] compares")

    @property
    def by_rule(self) -> PairParams:
        """What decides without a judge."""
        return PairParams(**self.model_dump(include=set(PairParams.model_fields)))


class EvaluationParams(Params):
    """pass@1 over k samples at T 0.6, top-p 0.95 (paper D.1), with bootstrap intervals over problems."""

    sampling: SamplingParams
    bootstrap: int = 2_000
    checkpoints: tuple[str, ...] = EVALUATED

    @model_validator(mode="after")
    def _equally_often(self) -> "EvaluationParams":
        if self.sampling.stop_at is not None:
            raise ValueError("sampling has no stop_at here: votes and pairs compare problems asked equally often")
        return self


class Recipe(Params):
    """The whole recipe, in the order of the paper."""

    name: str
    title: str
    seed: int = Field(default=0, description="of every section that names none of its own; sources name theirs")
    zero_template: str = "r1_zero"
    chat_template: str = "chat"
    sources: tuple[SourceParams, ...]
    non_reasoning: tuple[NonReasoningParams, ...] = ()
    decontamination: DecontaminationParams | None = None
    corpus_documents: int = 0
    base: ModelSource
    student: ModelSource
    zero: GrpoParams
    judge: JudgeParams | None = None
    test_writer: TestWriterParams | None = None
    gate_examples: tuple[GateExample, ...] = Field(default=(), description="tried by `r1 check` and before every run")
    cold_start: ColdStartParams
    dev1: SftParams
    dev2: GrpoParams
    sft_mix: MixParams
    dev3: SftParams
    preferences: PreferenceParams
    rm_helpful: RewardModelParams
    rm_safe: RewardModelParams
    r1: GrpoParams
    distill: SftParams
    student_rl: GrpoParams
    evaluation: EvaluationParams
    cluster: ClusterParams = ClusterParams()
    keep: dict[str, Annotated[str, Field(pattern="^@.")]] = Field(
        default={}, description='checkpoints that are not trained, and the ref of each: zero = "@demo/zero"'
    )

    @model_validator(mode="after")
    def _ahead_of_a_server(self) -> "Recipe":
        told = [n for n in ("zero", "dev2", "r1", "student_rl") if getattr(self, n).max_staleness]
        if told and self.cluster.rollouts != "server":
            fault = "an engine inside the training process makes no rollouts while that trains"
            raise ValueError(f'max_staleness of {", ".join(told)} needs cluster.rollouts = "server": {fault}')
        return self


def recipe_path(name: str) -> Path:
    """The file of a shipped recipe's name or of a path."""
    path = Path(name) if name.endswith(".toml") else SHIPPED / f"{name}.toml"
    if not path.is_file():
        shipped = sorted(p.stem for p in SHIPPED.glob("*.toml"))
        near = difflib.get_close_matches(Path(name).stem, shipped, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(
            f"{path}: no such recipe", f"{hint}shipped recipes: {', '.join(shipped)}; or give a .toml file"
        )
    return path


def load_cluster(path: Path) -> ClusterParams:
    """The cluster file that stands in for a recipe's [cluster]: the same recipe on another machine."""
    try:
        return ClusterParams.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise RecipeError(f"cluster file {path}: {e}", "check the path in R1_CLUSTER and the line that is named") from e
    except ValidationError as e:
        raise RecipeError(f"{path}:\n" + "\n".join(_faults(e)), "mend the fields that are named") from e


def load_recipe(name: str) -> Recipe:
    """Read and check a recipe; every fault is listed with its field, and unknown keys with the nearest known one."""
    path = recipe_path(name)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise RecipeError(f"{path}: not TOML: {e}", "mend the line that is named") from e
    try:
        return Recipe.model_validate(_with_seed(_with_templates(data, path)))
    except ValidationError as e:
        raise RecipeError(f"{path}:\n" + "\n".join(_faults(e)), "mend the fields that are named") from e


def template_text(name: str, recipe_folder: Path | None = None) -> str:
    """A prompt template with its `{question}` place, from beside the recipe or from the shipped ones."""
    candidates = [TEMPLATES / f"{name}.txt"]
    if recipe_folder is not None:
        candidates.insert(0, recipe_folder / name)
    for path in candidates:
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            if "{question}" in text:
                return text
            told = f"template {name!r}: no {{question}} in {path.name}, so that every problem would be asked the same"
            raise RecipeError(told, "write {question} where the question is to stand")
    shipped = ", ".join(sorted(p.stem for p in TEMPLATES.glob("*.txt")))
    raise RecipeError(f"template {name!r}: no such file", f"shipped templates: {shipped}; or a file beside the recipe")


def _with_templates(data: dict[str, object], path: Path) -> dict[str, object]:
    """GRPO sections take the recipe's template where they name none; all carry the text, so that the key covers it."""
    out = dict(data)
    for section, default in _DEFAULTS.items():
        part = out.get(section)
        if isinstance(part, dict):
            name = part.get("template", data.get(default, Recipe.model_fields[default].default))
            out[section] = {**part, "template": template_text(str(name), path.parent)}
    for place, names in _PROMPTS:
        out = _filled(out, place, names, path.parent)
    for default in ("zero_template", "chat_template"):
        name = data.get(default, Recipe.model_fields[default].default)
        out[default] = template_text(str(name), path.parent)
    return out


_DEFAULTS = {"zero": "zero_template", "student_rl": "zero_template", "dev2": "chat_template", "r1": "chat_template"}
# where prompts are named, by field, and which is taken where none is
_PROMPTS: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    (("cold_start", "teacher"), {"template": "refine", "translate": "translate"}),
    (("cold_start", "few_shot"), {"template": "r1_few_shot"}),
    (("cold_start", "reflective"), {"template": "r1_reflective"}),
    (("sft_mix", "thoughts"), {"template": "r1_thought"}),
    (("test_writer",), {"template": "write_tests"}),
    (("judge",), {"answer_template": "judge_answer", "pair_template": "judge_pair"}),
)


def _filled(
    data: dict[str, object], place: tuple[str, ...], names: Mapping[str, str], folder: Path
) -> dict[str, object]:
    """The data with the text of the templates that a section, if it is there, names or has by default."""
    first, *rest = place
    part = data.get(first)
    if not isinstance(part, dict):
        return data
    if rest:
        return {**data, first: _filled(part, tuple(rest), names, folder)}
    return {**data, first: {**part, **{f: template_text(str(part.get(f, n)), folder) for f, n in names.items()}}}


def _with_seed(data: dict[str, object]) -> dict[str, object]:
    """Sections without a seed take the recipe's, so that one number repeats the whole experiment differently."""
    out = dict(data)
    for section, part in data.items():
        if not isinstance(part, dict) or "seed" not in data:
            continue
        pretrain = part.get("pretrain")
        if isinstance(pretrain, dict):
            out[section] = {**part, "pretrain": {"seed": data["seed"], **pretrain}}
        elif section in Recipe.model_fields and "seed" in _fields_of(section):
            out[section] = {"seed": data["seed"], **part}
    return out


def _fields_of(section: str) -> Mapping[str, FieldInfo]:
    found: Mapping[str, FieldInfo] = getattr(Recipe.model_fields[section].annotation, "model_fields", {})
    return found


def _faults(error: ValidationError) -> list[str]:
    lines = []
    for fault in error.errors():
        where = ".".join(str(p) for p in fault["loc"])
        line = f"  {where}: {fault['msg']}"
        if fault["type"] == "extra_forbidden":
            near = difflib.get_close_matches(str(fault["loc"][-1]), _known_keys(), n=1)
            line = f"  {where}: unknown key" + (f", did you mean {near[0]!r}?" if near else "")
        lines.append(line)
    return lines


def _known_keys() -> list[str]:
    models = (
        *(SourceParams, ModelSource, SamplingParams, GateSection, GateExample),
        *(TeacherParams, JudgeParams, TestWriterParams),
        *(NonReasoningParams, ThoughtParams, MixtureParams, PartParams, AskedParams, FeedbackParams, HumanParams),
        *(ColdStartParams, MixParams, Recipe, PreferenceParams, PairLengthParams, EvaluationParams),
        *(ClusterParams, RayParams, GpuParams, EngineParams, BudgetParams, DecontaminationParams, DedupParams),
        *(GrpoParams, OptimizerParams, PretrainParams, RewardModelParams, SftParams),
    )
    return sorted({key for model in models for key in model.model_fields})
