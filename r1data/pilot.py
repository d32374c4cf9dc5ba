"""`Pilot`: what one sampling of a node taught about its price, kept in the lake as `pilots/RECIPE/NODE.json`.

Every sampling leaves one, whole or stopped by the budget; `r1 pilot` makes one of few prompts. No key depends on it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
from pydantic import Field, ValidationError

from r1data.errors import BudgetExhausted
from r1data.generate.pool import part_tables
from r1data.generate.sampling import Identity
from r1data.params import Params
from r1data.progress import Progress, Watch
from r1data.storage import Lake

FORMAT = 1
LEAST_TOKENS = 2_000
COLUMNS = [
    *("candidate_id", "problem_id", "prompt_tokens", "completion_tokens", "finish_reason"),
    *("model", "model_digest", "sampling_digest", "template_digest"),
]


class Domain(Params):
    """Candidates of the problems of one kind and category: tokens of completions, and of them those that were cut.

    `variance` is between prompts, of their tokens over the mean number of samples: samples of one prompt are alike.
    """

    kind: str
    category: str
    prompts: int = Field(ge=1)
    candidates: int = Field(ge=1)
    prompt_tokens: float
    tokens: float
    variance: float
    truncated: float
    truncated_tokens: float

    @property
    def samples(self) -> float:
        """Asked for per prompt."""
        return self.candidates / self.prompts


class Pilot(Params):
    """One node's sampling: which model, when (Unix time), how fast (0 where nothing was asked), and its domains.

    Means are per candidate; `truncated` is a share of candidates, `truncated_tokens` a share of tokens.
    """

    format: int = FORMAT
    model: str
    model_digest: str
    sampling_digest: str
    template_digest: str
    when: float
    tokens_per_second: float
    gpus: int
    complete: bool
    domains: tuple[Domain, ...] = Field(min_length=1)


def pilot_file(recipe: str, node: str) -> str:
    """The object that holds a node's record."""
    return f"pilots/{recipe}/{node}.json"


def read_pilot(lake: Lake, recipe: str, node: str, note: Callable[[str], None] = lambda _: None) -> Pilot | None:
    """The record of a node's last sampling; one that is torn or of an older format is noted and passed over."""
    name = pilot_file(recipe, node)
    if (data := lake.get(name)) is None:
        return None
    try:
        found = Pilot.model_validate_json(data)
    except ValidationError as e:
        note(f"{lake.uri(name)}: not a record of a pilot ({e.error_count()} faults), passed over")
        return None
    if found.format != FORMAT:
        note(f"{lake.uri(name)}: format {found.format} instead of {FORMAT}, passed over")
        return None
    return found


def record_pilot(
    lake: Lake,
    recipe: str,
    node: str,
    *,
    candidates: pl.DataFrame,
    problems: pl.DataFrame,
    progress: Progress | None,
    gpus: int = 1,
    complete: bool = True,
) -> Pilot | None:
    """Write what a node's sampling taught; `candidates` needs `COLUMNS` alone. None where there are no candidates.

    A sampling that asked nothing, since all was recorded, keeps the speed of the record before it.
    """
    if candidates.is_empty():
        return None
    first = candidates.row(0, named=True)
    speed, gpus = _speed(read_pilot(lake, recipe, node), first, progress, gpus)
    found = Pilot(
        model=first["model"],
        model_digest=first["model_digest"],
        sampling_digest=first["sampling_digest"],
        template_digest=first["template_digest"],
        when=time.time(),
        tokens_per_second=speed,
        gpus=gpus,
        complete=complete,
        domains=tuple(Domain(**row) for row in _domains(candidates, problems).to_dicts()),
    )
    lake.write(pilot_file(recipe, node), found.model_dump_json(indent=1).encode())
    return found


def recorded_columns(lake: Lake, identity: Identity, columns: list[str] = COLUMNS) -> pl.DataFrame:
    """A few columns of the recorded candidates of an identity, each candidate once, without its texts."""
    parts = list(part_tables(lake, identity, columns))
    if not parts:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return pl.DataFrame(pa.concat_tables(parts)).unique("candidate_id", keep="first")


@dataclass
class PilotRecorder:
    """Watches one node's sampling and leaves its record, also when the budget stops it."""

    lake: Lake
    recipe: str
    node: str
    problems: pl.DataFrame
    gpus: int
    watch: Watch
    progress: Progress | None = None

    def seen(self, progress: Progress) -> None:
        """Keep the latest progress and pass it on: the watcher to sample with."""
        self.progress = progress
        self.watch(progress)

    def keep(self, candidates: pl.DataFrame, *, complete: bool = True) -> Pilot | None:
        """Write the record."""
        return record_pilot(
            self.lake,
            self.recipe,
            self.node,
            candidates=candidates,
            problems=self.problems,
            progress=self.progress,
            gpus=self.gpus,
            complete=complete,
        )

    def kept_of(self, shards: Iterator[pl.DataFrame], identity: Identity) -> Iterator[pl.DataFrame]:
        """Pass CANDIDATES on, and write the record of them after the last."""
        small = []
        with self.at_a_stop(identity):
            for shard in shards:
                small.append(shard.select(COLUMNS))
                yield shard
        if small:
            self.keep(pl.concat(small))

    @contextmanager
    def at_a_stop(self, identity: Identity) -> Iterator[None]:
        """Sample inside: where the budget ends that, the record is of the answers there are."""
        try:
            yield
        except BudgetExhausted:
            mine = pl.col("problem_id").is_in(self.problems["problem_id"].to_list())
            self.keep(recorded_columns(self.lake, identity).filter(mine), complete=False)
            raise


def _speed(before: Pilot | None, first: dict[str, str], progress: Progress | None, gpus: int) -> tuple[float, int]:
    """Tokens a second, and the GPUs that they came from."""
    known = before is not None and before.model_digest == first["model_digest"] and before.tokens_per_second > 0
    if before is not None and known and (progress is None or progress.tokens < LEAST_TOKENS):
        return before.tokens_per_second, before.gpus  # a few stragglers say little of a full server
    return (progress.tokens_per_second, gpus) if progress is not None and progress.tokens else (0.0, gpus)


def _domains(candidates: pl.DataFrame, problems: pl.DataFrame) -> pl.DataFrame:
    """One row a kind and category; the variance of a lone prompt is taken as the square of its tokens."""
    told = candidates.join(problems.select("problem_id", "kind", "category"), on="problem_id", how="left")
    tokens, cut = pl.col("completion_tokens"), pl.col("finish_reason") == "length"
    told = told.with_columns(pl.col("kind", "category").fill_null(""))
    prompts = told.group_by("kind", "category", "problem_id").agg(
        tokens.sum().alias("whole"), pl.len().alias("samples")
    )
    share = pl.col("whole") / pl.col("samples").mean()
    spread = prompts.group_by("kind", "category").agg(
        pl.len().alias("prompts"), share.var().fill_null(share.mean() ** 2).alias("variance")
    )
    rows = told.group_by("kind", "category").agg(
        pl.len().alias("candidates"),
        pl.col("prompt_tokens").mean().alias("prompt_tokens"),
        tokens.mean().alias("tokens"),
        cut.mean().alias("truncated"),
        (tokens.filter(cut).sum() / pl.max_horizontal(tokens.sum(), 1)).alias("truncated_tokens"),
    )
    return rows.join(spread, on=["kind", "category"]).sort("kind", "category")
