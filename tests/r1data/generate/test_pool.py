"""Recorded answers: holes alone are asked for, and a changed anything never meets an old answer."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from r1data.digest import digest_table
from r1data.endpoint import Endpoint
from r1data.errors import CorruptShard
from r1data.generate.pool import generate, recorded
from r1data.generate.sampling import Identity, Prompt
from r1data.generate.server import SERVED_NAME, Server
from r1data.manifest import Manifest
from r1data.sampling_params import SamplingParams
from r1data.storage import Lake

PROMPTS = [Prompt(f"p{i}", f"User: {10 + i}+23=? Assistant: ") for i in range(6)]
SAMPLING = SamplingParams(samples=4, temperature=1.0, max_tokens=64)
COLUMNS = ["candidate_id", "problem_id", "completion", "sample_index", "seed", "completion_tokens", "finish_reason"]


def endpoint_of(server: Server) -> Callable[[], Endpoint]:
    return lambda: Endpoint(server.url, SERVED_NAME)


def never() -> Endpoint:
    raise AssertionError("the server must not be asked")


def made(lake: Lake, server: Server, model: Manifest, prompts: list[Prompt], sampling: SamplingParams) -> pl.DataFrame:
    frame = generate(lake, endpoint_of(server), model, prompts, sampling, "t", lambda _: None)
    return frame.select(COLUMNS).sort("candidate_id")


def test_every_candidate_once(lake: Lake, server: Server, model: Manifest) -> None:
    frame = made(lake, server, model, PROMPTS, SAMPLING)
    assert frame.height == 24
    assert frame["candidate_id"].n_unique() == 24
    assert sorted(frame.filter(pl.col("problem_id") == "p0")["sample_index"]) == [0, 1, 2, 3]


def test_recorded_answers_need_no_server(lake: Lake, server: Server, model: Manifest) -> None:
    first = made(lake, server, model, PROMPTS, SAMPLING)
    again = generate(lake, never, model, PROMPTS, SAMPLING, "t", lambda _: None)
    assert again.select(COLUMNS).sort("candidate_id").equals(first)


def test_more_samples_reuse_the_earlier(lake: Lake, server: Server, model: Manifest) -> None:
    few = made(lake, server, model, PROMPTS, SAMPLING)
    many = made(lake, server, model, PROMPTS, SAMPLING.model_copy(update={"samples": 6}))
    assert many.join(few, on="candidate_id", how="semi").equals(few)


def test_holes_alone_equal_the_full_run(lake: Lake, server: Server, model: Manifest, tmp_path: Path) -> None:
    full = made(lake, server, model, PROMPTS, SAMPLING)
    torn = Lake.open(str(tmp_path / "torn"))
    made(torn, server, model, PROMPTS[2:4], SAMPLING.model_copy(update={"samples": 3}))
    mended = made(torn, server, model, PROMPTS, SAMPLING)
    assert digest_table(mended.to_arrow()) == digest_table(full.to_arrow())


@pytest.mark.parametrize("field", ["temperature", "template", "model", "prompt"])
def test_a_changed_anything_never_meets_an_old_answer(lake: Lake, server: Server, model: Manifest, field: str) -> None:
    old = made(lake, server, model, PROMPTS, SAMPLING)
    sampling = SAMPLING.model_copy(update={"temperature": 0.5}) if field == "temperature" else SAMPLING
    other = model.model_copy(update={"digest": "d2"}) if field == "model" else model
    template = "other" if field == "template" else "t"
    prompts = [Prompt(p.problem_id, p.text + " ") for p in PROMPTS] if field == "prompt" else PROMPTS
    new = generate(lake, endpoint_of(server), other, prompts, sampling, template, lambda _: None)
    assert not set(new["candidate_id"]) & set(old["candidate_id"])


def test_torn_part_is_named(lake: Lake, server: Server, model: Manifest) -> None:
    made(lake, server, model, PROMPTS, SAMPLING)
    identity = Identity(model.digest, SAMPLING.digest(), "t")
    part = Path(lake.path(lake.names(identity.pool)[0]))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(CorruptShard, match=part.name):
        recorded(lake, identity)
