"""A judge behind a real vLLM server, by chat and by raw prompts: a model that knows nothing is not believed."""

import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from r1data.errors import CheckFailed
from r1data.generate.server import start_server
from r1data.recipe import SHIPPED, load_recipe
from r1data.refs import resolve
from r1data.served import served_answers
from r1data.stages import graph
from r1data.storage import Lake
from tests.running import desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SOURCE = '\n[[sources]]\nname = "open"\nkind = "judged"\nurl = "open.jsonl"\n'


def test_a_model_that_replies_no_verdict_is_not_used(finished: Lake, tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    shutil.copytree(finished.path(resolve(finished, "smoke/base").path), folder)
    (folder / "chat_template.jinja").write_text("{{ messages[-1]['content'] }}")
    (tmp_path / "short").write_text("{question} {reference} {answer}")
    server = start_server(folder, "vllm", sys.executable, tmp_path / "judge.log")
    frames = {
        "candidates": pl.DataFrame(
            {"candidate_id": ["a"], "problem_id": ["p"], "completion": ["It is 5."], "finish_reason": ["stop"]}
        ),
        "problems": pl.DataFrame({"problem_id": ["p"], "kind": ["judged"], "question": ["2+3=?"], "answer": ["5"]}),
    }
    try:
        for chat in ("true", "false"):
            told = f'\n[judge]\nurl = "{server.url}"\nmodel = "policy"\nanswer_template = "short"\nmax_tokens = 16\n'
            path = tmp_path / f"{chat}.toml"
            text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
            path.write_text(f"{text}{SOURCE}{told}chat = {chat}\n", encoding="utf-8")
            recipe = load_recipe(str(path))
            node = next(n for n in graph(recipe) if n.name == "cold_start/judgements")
            lake = Lake.open(str(tmp_path / f"lake-{chat}"))
            with pytest.raises(CheckFailed, match="it said unreadable judgement"):
                served_answers(desk(lake), recipe, None, node, frames)
            parts = [pl.DataFrame(lake.read_table(n)) for n in lake.names("calls") if n.endswith(".parquet")]
            heard = pl.concat(parts)
            assert heard.height == 4, "the questions of known outcome were asked, and nothing after them"
            assert set(heard["completion_tokens"]) != {0}
    finally:
        server.stop()
