"""What the sampling of a recipe would cost before it is paid for: from each node's pilot, else an upper bound.

Tokens of a node are prompts x samples x tokens, domain by domain. Their 95 % interval takes prompts as independent, not
candidates: it covers the pilot's own error and that of the run, and neither another model nor other problems.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from time import gmtime, strftime

import polars as pl

from r1data.digest import digest_json
from r1data.generate.sampling import Identity
from r1data.manifest import Manifest
from r1data.pilot import Domain, Pilot, read_pilot, recorded_columns
from r1data.plan import PlanLine
from r1data.recipe import Recipe
from r1data.run import chosen_prompts
from r1data.runner import frame_of
from r1data.sampling_params import SamplingParams
from r1data.stages import graph
from r1data.stages.sampling import GenerateParams
from r1data.step import Node
from r1data.storage import Lake

Z = 1.96
EVERY_PROBLEM = 10**9


@dataclass(frozen=True)
class Range:
    """An estimate with its 95 % interval."""

    mean: float
    low: float
    high: float

    def times(self, factor: float) -> "Range":
        """In another unit."""
        return Range(self.mean * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class PriceLine:
    """One sampling node: `samples` per prompt; tokens still to generate and what they take, None where unknown.

    Without a pilot (`bound`) the tokens are what they can be at most. `truncated_tokens` are those of answers cut off.
    """

    node: str
    prompts: int | None
    samples: float
    recorded: int
    tokens: Range | None
    truncated_tokens: float | None
    gpu_hours: Range | None
    bound: bool
    basis: str


@dataclass(frozen=True)
class Asked:
    """Prompts of a node in one kind and category, and how many of their candidates are recorded."""

    kind: str
    category: str
    prompts: int
    recorded: int


def price(lake: Lake, recipe: Recipe, lines: Sequence[PlanLine]) -> list[PriceLine]:
    """The price of every node that asks a checkpoint and is not done by the plan, in order."""
    done = {line.node: line.manifest for line in lines if line.manifest}
    named = {line.node for line in lines} - done.keys()
    nodes = [n for n in graph(recipe) if n.name in named and isinstance(n.params, GenerateParams)]
    return [_priced(lake, recipe, node, done) for node in nodes]


def total(lines: Sequence[PriceLine]) -> PriceLine:
    """The sum; intervals as of independent nodes. Bounds reach into its upper end alone, unknowns into nothing."""
    piloted = [line for line in lines if not line.bound]
    bounds = sum(line.tokens.high for line in lines if line.bound and line.tokens)
    tokens = _sum([line.tokens for line in piloted if line.tokens], bounds)
    hours = [line.gpu_hours for line in lines if line.gpu_hours]
    unknown = len(lines) - len(hours)
    return PriceLine(
        node="total",
        prompts=sum(line.prompts or 0 for line in lines),
        samples=0.0,
        recorded=sum(line.recorded for line in lines),
        tokens=tokens,
        truncated_tokens=sum(line.truncated_tokens or 0.0 for line in piloted) if piloted else None,
        gpu_hours=_sum(hours) if hours else None,
        bound=not piloted,
        basis=f"GPU-hours and cost without {unknown} of {len(lines)} nodes" if unknown else "all from pilots",
    )


def _priced(lake: Lake, recipe: Recipe, node: Node, done: Mapping[str, Manifest]) -> PriceLine:
    params = node.params
    assert isinstance(params, GenerateParams), f"{node.name}: asks no checkpoint"
    identity = Identity("", params.sampling.digest(), digest_json(params.template)[:16])
    notes: list[str] = []
    pilot = _usable(read_pilot(lake, recipe.name, node.name, notes.append), identity, notes.append)
    asked = _asked(lake, recipe, node, params, done, identity)
    if asked is None:
        basis = "the number of prompts is known once problems are there"
        return PriceLine(node.name, None, params.sampling.samples, 0, None, None, None, True, basis)
    if pilot is None:
        return _bounded(node.name, asked, params.sampling, "; ".join(("no pilot: upper bound", *notes)))
    return _from_pilot(node.name, asked, params.sampling, pilot)


def _usable(pilot: Pilot | None, identity: Identity, note: Callable[[str], None]) -> Pilot | None:
    """The pilot, if it was asked with the sampling and template that the run would ask with."""
    if pilot is None:
        return None
    if (pilot.sampling_digest, pilot.template_digest) == (identity.sampling_digest, identity.template_digest):
        return pilot
    note("its pilot had another sampling or template")
    return None


def _from_pilot(node: str, asked: Sequence[Asked], sampling: SamplingParams, pilot: Pilot) -> PriceLine:
    known = {(d.kind, d.category): d for d in pilot.domains}
    everything = pooled(pilot.domains)
    mean = variance = truncated = candidates = 0.0
    for part in asked:
        domain = known.get((part.kind, part.category), everything)
        samples = _samples(sampling, pilot, domain)
        number = max(0.0, part.prompts * samples - part.recorded)
        candidates += part.prompts * samples
        mean += number * domain.tokens
        truncated += number * domain.tokens * domain.truncated_tokens
        left = number / samples
        variance += samples**2 * domain.variance * (left + left**2 / domain.prompts)
    prompts, half = sum(a.prompts for a in asked), Z * sqrt(variance)
    tokens = Range(mean, max(0.0, mean - half), mean + half)
    rate = pilot.gpus / pilot.tokens_per_second / 3600 if pilot.tokens_per_second else None
    return PriceLine(
        node=node,
        prompts=prompts,
        samples=candidates / max(1, prompts),
        recorded=sum(a.recorded for a in asked),
        tokens=tokens,
        truncated_tokens=truncated,
        gpu_hours=tokens.times(rate) if rate is not None else None,
        bound=False,
        basis=_told(pilot),
    )


def _samples(sampling: SamplingParams, pilot: Pilot, domain: Domain) -> float:
    """Of a prompt: what is asked for, or what the pilot took to accept enough; its cap if the pilot was stopped."""
    if sampling.stop_at is None:
        return sampling.samples
    return domain.samples if pilot.complete else sampling.cap


def _bounded(node: str, asked: Sequence[Asked], sampling: SamplingParams, basis: str) -> PriceLine:
    longest = sampling.max_tokens * (2 if sampling.truncated == "continue" else 1)
    number = sum(max(0, a.prompts * sampling.cap - a.recorded) for a in asked)
    prompts, recorded = sum(a.prompts for a in asked), sum(a.recorded for a in asked)
    tokens = Range(number * longest, 0.0, number * longest)
    return PriceLine(node, prompts, sampling.cap, recorded, tokens, None, None, True, basis)


def _told(pilot: Pilot) -> str:
    when = strftime("%Y-%m-%d %H:%M UTC", gmtime(pilot.when))
    return f"pilot of {when} on {pilot.model}{'' if pilot.complete else ', stopped by the budget'}"


def _asked(
    lake: Lake, recipe: Recipe, node: Node, params: GenerateParams, done: Mapping[str, Manifest], identity: Identity
) -> list[Asked] | None:
    """The node's prompts by domain, from the problems if these are there, else from the recipe; None if unknown."""
    manifest = done.get(node.inputs["problems"])
    if manifest is None:
        prompts = _prompts_of(recipe, params)
        return None if prompts is None else [Asked("", "", prompts, 0)]
    problems = frame_of(lake, manifest).select("problem_id", "question", "kind", "category", "split")
    mine = problems.filter(pl.col("problem_id").is_in([p.problem_id for p in chosen_prompts(problems, params)]))
    model = done.get(node.inputs["model"])
    have = _recorded(lake, model, identity, params.sampling.cap)
    counted = mine.join(have, on="problem_id", how="left").group_by("kind", "category")
    rows = counted.agg(pl.len().alias("prompts"), pl.col("recorded").sum()).sort("kind", "category")
    return [Asked(**row) for row in rows.to_dicts()]


def _recorded(lake: Lake, model: Manifest | None, identity: Identity, cap: int) -> pl.DataFrame:
    """Recorded candidates by problem, of those that the node can ask for; none while the model is not there."""
    if model is None:
        return pl.DataFrame(schema={"problem_id": pl.String, "recorded": pl.UInt32})
    asked = Identity(model.digest, identity.sampling_digest, identity.template_digest)
    found = recorded_columns(lake, asked, ["candidate_id", "problem_id", "sample_index"])
    wanted = found.filter(pl.col("sample_index").cast(pl.Int64) < cap)
    return wanted.group_by("problem_id").agg(pl.len().alias("recorded"))


def _prompts_of(recipe: Recipe, params: GenerateParams) -> int | None:
    """At most so many, by what the recipe says of its sources; None where it does not say."""
    sizes = [s.limit or s.size for s in recipe.sources if s.split == params.split and s.kind in params.kinds]
    bound = min(params.problems, sum(sizes) if sizes and all(sizes) else EVERY_PROBLEM)
    return bound if bound < EVERY_PROBLEM else None


def pooled(domains: Sequence[Domain]) -> Domain:
    """All domains as one, for problems of a domain that the pilot did not meet."""
    number, prompts = sum(d.candidates for d in domains), sum(d.prompts for d in domains)

    def mean(values: Sequence[float]) -> float:
        return sum(d.candidates * v for d, v in zip(domains, values, strict=True)) / number

    tokens = mean([d.tokens for d in domains])
    within = sum((d.prompts - 1) * d.variance + d.prompts * (d.tokens - tokens) ** 2 for d in domains)
    cut = mean([d.tokens * d.truncated_tokens for d in domains])
    return Domain(
        kind="",
        category="",
        prompts=prompts,
        candidates=number,
        prompt_tokens=mean([d.prompt_tokens for d in domains]),
        tokens=tokens,
        variance=within / (prompts - 1) if prompts > 1 else domains[0].variance,
        truncated=mean([d.truncated for d in domains]),
        truncated_tokens=cut / tokens if tokens else 0.0,
    )


def _sum(ranges: Sequence[Range], more: float = 0.0) -> Range:
    """Of independent estimates; `more` is added to the upper end."""
    mean = sum(r.mean for r in ranges)
    half = sqrt(sum((r.high - r.mean) ** 2 for r in ranges))
    return Range(mean, max(0.0, mean - half), mean + half + more)
