"""Recorded answers: holes alone are asked for, and a changed anything never meets an old answer."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pyarrow as pa
import pytest

from r1data.digest import digest_table
from r1data.endpoint import Endpoint
from r1data.errors import CheckFailed, CorruptShard, RunStopped, StorageError
from r1data.generate.candidates import Servers, candidates
from r1data.generate.client import Completion
from r1data.generate.pool import Pool
from r1data.generate.router import Backend
from r1data.generate.sampler import Answered, Judge, Outcome
from r1data.generate.sampling import Identity, Prompt
from r1data.generate.server import SERVED_NAME, Server
from r1data.manifest import Manifest
from r1data.sampling_params import SamplingParams
from r1data.storage import Lake
from tests.generating import recorded
from tests.running import desk

PROMPTS = [Prompt(f"p{i}", f"User: {10 + i}+23=? Assistant: ") for i in range(6)]
SAMPLING = SamplingParams(samples=4, temperature=1.0, max_tokens=64)
COLUMNS = ["candidate_id", "problem_id", "completion", "sample_index", "seed", "completion_tokens", "finish_reason"]


def servers_of(server: Server) -> Servers:
    return lambda: nullcontext([Backend(Endpoint(server.url, SERVED_NAME))])


def never() -> AbstractContextManager[Sequence[Backend]]:
    raise AssertionError("the server must not be asked")


def sampled(
    lake: Lake,
    servers: Servers,
    model: Manifest,
    prompts: list[Prompt],
    sampling: SamplingParams,
    judge: Judge | None = None,
) -> pl.DataFrame:
    found = pl.concat(candidates(desk(lake), servers, model, prompts, sampling, "t", judge=judge))
    return found.select(COLUMNS).sort("candidate_id")


@pytest.fixture
def made(lake: Lake, server: Server, model: Manifest) -> Callable[..., pl.DataFrame]:
    def make(
        prompts: list[Prompt] = PROMPTS, sampling: SamplingParams = SAMPLING, judge: Judge | None = None
    ) -> pl.DataFrame:
        return sampled(lake, servers_of(server), model, prompts, sampling, judge)

    return make


def test_every_candidate_once(made: Callable[..., pl.DataFrame]) -> None:
    frame = made()
    assert frame.height == 24
    assert frame["candidate_id"].n_unique() == 24
    assert sorted(frame.filter(pl.col("problem_id") == "p0")["sample_index"]) == [0, 1, 2, 3]


def test_recorded_answers_need_no_server(made: Callable[..., pl.DataFrame], lake: Lake, model: Manifest) -> None:
    first = made()
    assert sampled(lake, never, model, PROMPTS, SAMPLING).equals(first)


def test_more_samples_reuse_the_earlier(made: Callable[..., pl.DataFrame]) -> None:
    few = made()
    many = made(sampling=SAMPLING.model_copy(update={"samples": 6}))
    assert many.join(few, on="candidate_id", how="semi").equals(few)


def test_holes_alone_equal_the_full_run(
    made: Callable[..., pl.DataFrame], server: Server, model: Manifest, tmp_path: Path
) -> None:
    full = made()
    torn = Lake.open(str(tmp_path / "torn"))
    sampled(torn, servers_of(server), model, PROMPTS[2:4], SAMPLING.model_copy(update={"samples": 3}))
    mended = sampled(torn, servers_of(server), model, PROMPTS, SAMPLING)
    assert digest_table(mended.to_arrow()) == digest_table(full.to_arrow())


@pytest.mark.parametrize("field", ["temperature", "template", "model", "prompt", "continued"])
def test_a_changed_anything_never_meets_an_old_answer(
    made: Callable[..., pl.DataFrame], lake: Lake, server: Server, model: Manifest, field: str
) -> None:
    old = made()
    changes: dict[str, dict[str, object]] = {
        "temperature": {"temperature": 0.5},
        "continued": {"truncated": "continue"},
    }
    sampling = SAMPLING.model_copy(update=changes.get(field, {}))
    other = model.model_copy(update={"digest": "d2"}) if field == "model" else model
    template = "other" if field == "template" else "t"
    prompts = [Prompt(p.problem_id, p.text + " ") for p in PROMPTS] if field == "prompt" else PROMPTS
    new = pl.concat(candidates(desk(lake), servers_of(server), other, prompts, sampling, template))
    assert new.height == old.height
    assert not set(new["candidate_id"]) & set(old["candidate_id"])


def test_what_asks_for_no_other_answers_reuses_all(
    made: Callable[..., pl.DataFrame], lake: Lake, model: Manifest
) -> None:
    old = made()
    others = SAMPLING.model_copy(update={"truncated": "keep", "samples": 3})
    assert sampled(lake, never, model, PROMPTS, others).join(old, on="candidate_id", how="anti").height == 0


def test_torn_part_is_named(made: Callable[..., pl.DataFrame], lake: Lake, model: Manifest) -> None:
    made()
    pool = Pool(lake, Identity(model.digest, SAMPLING.digest(), "t"), model)
    part = Path(lake.path(pool.names()[0]))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(CorruptShard, match=part.name):
        recorded(pool)


def test_small_parts_become_one_sorted_part(made: Callable[..., pl.DataFrame], lake: Lake, model: Manifest) -> None:
    pool = Pool(lake, Identity(model.digest, SAMPLING.digest(), "t"), model)
    for n in range(1, 41):
        made(prompts=[Prompt("p", f"User: {n}+1=? Assistant: ")])
    before = recorded(pool).sort("candidate_id")
    assert len(pool.names()) < 40
    assert before.height == 160
    pool.compact()
    assert recorded(pool).sort("candidate_id").equals(before)


ROUNDS = SamplingParams(samples=2, stop_at=2, max_samples=12, temperature=1.0, max_tokens=64)


def right(answered: Sequence[Answered]) -> list[Outcome]:
    """The fake server's sums: pN asks (10 + N) + 23."""
    sums = (str(10 + int(a.problem_id[1:]) + 23) for a in answered)
    return [Outcome(accepted=f"<answer>{s}</answer>" in a.completion) for a, s in zip(answered, sums, strict=True)]


def test_a_prompt_stops_when_it_has_enough(made: Callable[..., pl.DataFrame]) -> None:
    frame = made(sampling=ROUNDS, judge=right)
    for (problem,), rows in frame.group_by("problem_id"):
        rows = rows.sort("sample_index")
        assert rows["sample_index"].to_list() == list(range(rows.height)), "no sample is left out"
        shown = [Answered(str(problem), r["completion"], "stop", 0) for r in rows.iter_rows(named=True)]
        asked, counts = 0, [o.accepted for o in right(shown)]
        while size := ROUNDS.next_round(asked, sum(counts[:asked])):
            asked += size
        assert asked == rows.height, "the rule replayed takes as many"
    assert frame["problem_id"].n_unique() == 6
    assert frame.group_by("problem_id").len()["len"].n_unique() > 1, "prompts differ in difficulty"


def test_an_interrupted_adaptive_run_takes_the_same(
    made: Callable[..., pl.DataFrame], lake: Lake, server: Server, model: Manifest, tmp_path: Path
) -> None:
    whole = made(sampling=ROUNDS, judge=right)
    torn = Lake.open(str(tmp_path / "torn"))
    # more of some prompts and fewer of others are there than the rule takes
    sampled(torn, servers_of(server), model, PROMPTS[:2], SAMPLING.model_copy(update={"samples": 9}))
    sampled(torn, servers_of(server), model, PROMPTS[2:3], SAMPLING.model_copy(update={"samples": 1}))
    assert sampled(torn, servers_of(server), model, PROMPTS, ROUNDS, right).equals(whole)


def test_what_cannot_be_judged_is_not_asked_again(made: Callable[..., pl.DataFrame]) -> None:
    frame = made(sampling=ROUNDS, judge=lambda answered: [Outcome(undecided=True)] * len(answered))
    assert frame.height == len(PROMPTS) * ROUNDS.samples


def test_same_prompt_of_two_problems_is_asked_once(made: Callable[..., pl.DataFrame]) -> None:
    assert made(prompts=[PROMPTS[0], Prompt("other", PROMPTS[0].text)]).height == 4


def test_no_prompts_no_shards(lake: Lake, model: Manifest) -> None:
    found: Iterator[pl.DataFrame] = candidates(desk(lake), never, model, [], SAMPLING, "t")
    assert list(found) == []


class SlowLake(Pool):
    """Takes its time for every part, and fails once for each of the first ones."""

    failures: ClassVar[list[int]] = []

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Slower than the answers come."""
        time.sleep(0.3)
        if self.failures:
            self.failures.pop()
            raise StorageError("the store is away", "wait")
        super().add(rows)


@pytest.mark.parametrize("failures", [0, 2], ids=["slow", "slow, and away for a moment"])
def test_a_slow_lake_gets_everything(
    made: Callable[..., pl.DataFrame], monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    monkeypatch.setattr("r1data.generate.candidates.Pool", SlowLake)
    monkeypatch.setattr("r1data.generate.recorder.PART_ROWS", 20)
    monkeypatch.setattr("r1data.generate.sampler.TICK_S", 0.05)
    monkeypatch.setattr(SlowLake, "failures", [1] * failures)
    assert made(sampling=SAMPLING.model_copy(update={"samples": 10})).height == 60


def test_what_the_judge_raises_is_the_error(made: Callable[..., pl.DataFrame]) -> None:
    def broken(_: Sequence[Answered]) -> list[Outcome]:
        raise CheckFailed("the judge is not to be trusted")

    with pytest.raises(CheckFailed, match="not to be trusted"):
        made(sampling=ROUNDS, judge=broken)
    assert made(sampling=ROUNDS, judge=right).height >= 12


def test_a_stopped_run_asks_nothing_more(lake: Lake, server: Server, model: Manifest) -> None:
    stopped = replace(desk(lake))
    stopped.stopped.set()
    with pytest.raises(RunStopped):
        list(candidates(stopped, servers_of(server), model, PROMPTS, SAMPLING, "t"))


def test_the_first_answer_stays_the_first_when_parts_are_merged(lake: Lake, model: Manifest) -> None:
    pool = Pool(lake, Identity(model.digest, SAMPLING.digest(), "t"), model)
    for n in range(40):
        answer = Completion(f"answer {n}", (1,), (), "stop", 1, 1)
        pool.add([pool.row(PROMPTS[0], 0, answer, 0.0)])
    assert recorded(pool)["completion"].to_list() == ["answer 0"]
    pool.compact()
    pool.add([pool.row(PROMPTS[0], 0, Completion("late", (1,), (), "stop", 1, 1), 0.0)])
    assert recorded(pool)["completion"].to_list() == ["answer 0"]


def test_who_reads_while_parts_are_merged_misses_nothing(lake: Lake, model: Manifest) -> None:
    pool = Pool(lake, Identity(model.digest, SAMPLING.digest(), "t"), model)
    for n in range(40):
        pool.add([pool.row(PROMPTS[0], n, Completion(f"answer {n}", (1,), (), "stop", 1, 1), 0.0)])
    tables = pool.tables()
    read = [next(tables)]
    pool.compact()
    read += list(tables)
    assert pl.DataFrame(pa.concat_tables(read))["sample_index"].n_unique() == 40
