"""The mixture of reasoning and general examples by stated numbers and shares (paper B.3.3: about 600k and 200k).

Rows are taken whole, in an order that the seed fixes: first up to each part's numbers, then so that the share holds.
"""

from collections.abc import Iterator

import fsspec
import polars as pl
from tokenizers import Tokenizer

from r1data.data_params import MixtureParams, PartParams
from r1data.digest import row_id
from r1data.errors import RecipeError, boundary
from r1data.step import Step
from r1data.steps.problems import EVIDENCE
from schemas import TABLES

PARTS = ("reasoning", "general")
_BATCH = 1_000


def mixed(*, params: MixtureParams, reasoning: pl.DataFrame, general: pl.DataFrame) -> pl.DataFrame:
    """SFT_EXAMPLES of both parts that the mixture takes."""
    taken = _taken(params, reasoning, general).filter(pl.col("reason") == "")
    return taken.select(TABLES["sft_examples"].schema.names)


def left_out(*, params: MixtureParams, reasoning: pl.DataFrame, general: pl.DataFrame) -> pl.DataFrame:
    """DROPS of the examples beyond a part's rows, tokens or characters, or beyond the share; `value` is the part."""
    gone = _taken(params, reasoning, general).filter(pl.col("reason") != "")
    evidence = pl.col("completion").str.slice(0, EVIDENCE).alias("evidence")
    told = (pl.col("example_id").alias("row_id"), "problem_id", pl.lit("mixture").alias("gate"), "reason")
    return gone.select(*told, pl.col("part").alias("value"), evidence)


def composition(*, params: MixtureParams, reasoning: pl.DataFrame, general: pl.DataFrame) -> pl.DataFrame:
    """MIXTURES: what was there and what was taken, by part and category; tokens are null without a tokenizer."""
    whole = _taken(params, reasoning, general)
    kept = pl.col("reason") == ""
    counts = [
        expression
        for name, among in (("given", pl.lit(True)), ("taken", kept))
        for expression in (
            among.sum().cast(pl.Int64).alias(f"rows_{name}")
            if name == "taken"
            else pl.len().cast(pl.Int64).alias("rows_given"),
            pl.col("characters").filter(among).sum().alias(f"characters_{name}"),
            pl.col("tokens").filter(among).sum().alias(f"tokens_{name}"),
        )
    ]
    found = whole.group_by("part", "category").agg(*counts)
    if params.tokenizer is None:
        found = found.with_columns(tokens_given=pl.lit(None, pl.Int64), tokens_taken=pl.lit(None, pl.Int64))
    found = found.with_columns(mixture_id=pl.concat_str("part", "category", separator="/"))
    return found.select(TABLES["mixtures"].schema.names)


def _taken(params: MixtureParams, reasoning: pl.DataFrame, general: pl.DataFrame) -> pl.DataFrame:
    """Both parts in their order, with size columns, the part, and the reason why a row is left out (empty: taken)."""
    frames = [_limited(params, part, frame) for part, frame in zip(PARTS, (reasoning, general), strict=True)]
    if params.general_share is None:
        return pl.concat(frames)
    sums = [int(f.filter(pl.col("reason") == "")[params.unit].sum() or 0) for f in frames]
    for part, total in zip(PARTS, sums, strict=True):
        if not total:
            told = f"[sft_mix.mixture] the {part} part gives no {params.unit}, and general_share states a share of it"
            raise RecipeError(told, f"look at what left sft_mix/{part} and at its limits, or leave out general_share")
    shares = (1 - params.general_share, params.general_share)
    whole = min(total / share for total, share in zip(sums, shares, strict=True))
    return pl.concat(
        [_cut(f, params.unit, int(whole * s + 1e-9), "share") for f, s in zip(frames, shares, strict=True)]
    )


def _limited(params: MixtureParams, part: str, frame: pl.DataFrame) -> pl.DataFrame:
    """A part in its order, cut at the numbers stated for it."""
    told: PartParams = getattr(params, part)
    order = [row_id(params.seed, "mixture", name) for name in frame["example_id"]]
    frame = frame.with_columns(order=pl.Series(order, dtype=pl.String)).sort("order").drop("order")
    sizes = pl.Series(list(_tokens(params, frame)), dtype=pl.Int64)
    frame = frame.with_columns(
        rows=pl.lit(1, pl.Int64),
        tokens=sizes,
        characters=pl.col("completion").str.len_chars().cast(pl.Int64),
        part=pl.lit(part),
        reason=pl.lit(""),
    )
    for unit, most in (("rows", told.rows), ("tokens", told.tokens), ("characters", told.characters)):
        frame = frame if most is None else _cut(frame, unit, most, unit)
    return frame


def _cut(frame: pl.DataFrame, unit: str, most: int, reason: str) -> pl.DataFrame:
    """Leave out, for a reason, the rows by which those still in go beyond a sum.

    A row that is larger than the sum by itself leaves alone: those after it are counted without it.
    """
    still, fits = pl.col("reason") == "", pl.col(unit) <= most
    running = pl.when(still & fits).then(pl.col(unit)).otherwise(0).cum_sum()
    return frame.with_columns(
        reason=pl.when(still & (~fits | (running > most))).then(pl.lit(reason)).otherwise("reason")
    )


def _tokens(params: MixtureParams, frame: pl.DataFrame) -> Iterator[int | None]:
    """How many tokens every completion has; None without a tokenizer."""
    if params.tokenizer is None:
        yield from [None] * frame.height
        return
    with boundary(RecipeError, f"[sft_mix.mixture] tokenizer {params.tokenizer}", "name a tokenizer.json"):
        with fsspec.open(params.tokenizer, "rb") as f:
            tokenizer = Tokenizer.from_str(f.read().decode("utf-8"))
    texts = frame["completion"].to_list()
    for i in range(0, len(texts), _BATCH):
        yield from (len(e.ids) for e in tokenizer.encode_batch_fast(texts[i : i + _BATCH], add_special_tokens=False))


MIXTURE = Step("mixture", "2", "reduce", TABLES["sft_examples"], mixed)
LEFT_OUT = Step("mixture_drops", "2", "reduce", TABLES["drops"], left_out)
COMPOSITION = Step("mixture_counts", "2", "reduce", TABLES["mixtures"], composition)
