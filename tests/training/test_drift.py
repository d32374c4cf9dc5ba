"""The judge against the reward model: a judge that comes to disagree ends the stage, one that agrees does not."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from r1data.endpoint import Endpoint
from r1data.errors import RecipeError
from r1data.generate.server import Server
from r1data.manifest import Manifest
from r1data.recipe import SHIPPED, JudgeParams, Recipe, load_recipe
from r1data.stages import node_named
from r1data.training_params import DriftParams, GrpoParams, RewardParams
from tests.training.test_reward_model import HELPFUL, SAFE, judged
from training import grpo, reward_model
from training.collecting import Collected
from training.drift import Drift
from training.job import Job
from training.rollout import Ask, Sample
from training.stopping import reason_to_stop

TEMPLATE = "{question}|{a}|{b}"
WATCHED = ("reward_score", "judge_score", "drift")
RULE = DriftParams(every=2, pairs=20, votes=4, least=4, limit=2.0)
GRPO = {"template": "{question}", "steps": 99, "optimizer": {"learning_rate": 1e-3}, "drift": RULE.model_dump()}


class Judge(BaseHTTPRequestHandler):
    """Prefers the response with the larger number until it has had enough of them; `odd` ones it cannot compare."""

    asked = 0
    turns_at = 10**9
    broken = False

    def do_POST(self) -> None:
        """A chat completion."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        question, a, b = asked["messages"][-1]["content"].split("|")
        type(self).asked += 1
        said = json.dumps({"verdict": "A>>B" if self.likes_first(a, b) else "B>>A"})
        content = "no idea" if self.broken or "odd" in question else said
        choice = {"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        choices = [{"index": i, **choice} for i in range(asked["n"])]
        body = json.dumps({"choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def likes_first(self, a: str, b: str) -> bool:
        """The larger number, or the smaller one."""
        return (int(a) > int(b)) == (int(max(a, b, key=int)) < self.turns_at)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def judge() -> Iterator[tuple[type[Judge], JudgeParams]]:
    handler = type("Fresh", (Judge,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield handler, JudgeParams(url=url, model="judge", pair_template=TEMPLATE)
    server.shutdown()
    server.server_close()
    thread.join()


def drift_of(workshop: Any, judge: JudgeParams | None, scratch: str = "scratch", **changes: Any) -> Drift:
    """A check of a stage whose trainer stands at step 0."""
    params = GrpoParams.model_validate({**GRPO, "drift": {**RULE.model_dump(), **changes}})
    job: Job = workshop.job("r1", "grpo", params, {}, scratch)
    job = Job(**{**vars(job), "judge": judge})
    prompts = SimpleNamespace(general=[{"problem_id": name, "question": name} for name in names()])
    trainer = SimpleNamespace(step=0, rank=0, world=1, metrics=[])
    return Drift(job, params.drift, prompts, trainer)  # type: ignore[arg-type]


def names() -> list[str]:
    return [f"p{i}" for i in range(10)] + ["p-odd", "p-flat", "p-cut"]


def collected(step: int) -> Collected:
    """Rollouts whose numbers, and rewards, grow with the step; of one prompt all earn the same."""
    asks = [Ask(name, name, "", "en", "general") for name in names()] + [Ask("sum", "1+1", "2", "en", "math")]
    samples = []
    for i, ask in enumerate(asks):
        for k in range(3):
            number = 10 * step + (0 if ask.problem_id == "p-flat" else k)
            text = f"<think>so</think>{number}"
            reward = number / 1000
            part = "helpful" if ask.kind == "general" else "accuracy"
            samples.append(
                Sample(
                    i, k, 0, text, [5], [], "length" if ask.problem_id == "p-cut" else "stop", reward, {part: reward}
                )
            )
    return Collected(asks, samples, samples, (0, 0))


def stage(drift: Drift, steps: int) -> str:
    """Steps of a stage until a rule ends it; why."""
    params = drift.job.node.params
    assert isinstance(params, GrpoParams)
    while drift.trainer.step < steps:
        told = {"step": float(drift.trainer.step + 1), **drift.look(collected(drift.trainer.step + 1))}
        drift.trainer.metrics.append(told)
        drift.trainer.step += 1
        if reason := reason_to_stop(drift.trainer.metrics, params):
            return reason
    return ""


def test_a_judge_that_agrees_ends_nothing(workshop: Any, judge: tuple[type[Judge], JudgeParams]) -> None:
    drift = drift_of(workshop, judge[1])
    assert stage(drift, 8) == ""
    checks = [m for m in drift.trainer.metrics if "drift" in m]
    assert [m["step"] for m in checks] == [2, 4, 6, 8]
    assert [(m["judge_score"], m["drift"], m["judge_pairs"]) for m in checks] == [(1.0, 0.0, 10.0)] * 4
    assert checks[0]["reward_score"] < checks[-1]["reward_score"]


def test_a_judge_that_comes_to_disagree_ends_the_stage(workshop: Any, judge: tuple[type[Judge], JudgeParams]) -> None:
    judge[0].turns_at = 45  # from step 5 on it prefers what earns less
    drift = drift_of(workshop, judge[1])
    reason = stage(drift, 8)
    assert reason.startswith("drift: reward 0.02092 -> 0.06092, judge 1 -> -1, ")
    assert reason.endswith("standard errors since step 2")
    assert drift.trainer.step == 6
    assert drift.trainer.metrics[-1]["drift"] > 2


def test_without_a_limit_it_is_only_told(workshop: Any, judge: tuple[type[Judge], JudgeParams]) -> None:
    judge[0].turns_at = 45
    drift = drift_of(workshop, judge[1], limit=None)
    assert stage(drift, 8) == ""
    assert drift.trainer.metrics[-1]["drift"] > 2


def test_what_cannot_be_compared_leaves_with_its_reason(workshop: Any, judge: tuple[type[Judge], JudgeParams]) -> None:
    drift = drift_of(workshop, judge[1])
    stage(drift, 2)
    told = drift.trainer.metrics[-1]
    assert (told["judge_no_spread"], told["judge_unreadable_judgement"], told["judge_pairs"]) == (2, 1, 10)
    record = json.loads((drift.job.scratch / "judgements" / "step-000002.json").read_text())
    reasons = {r["problem_id"]: r["reason"] for r in record if r["reason"]}
    assert reasons == {"p-odd": "unreadable_judgement", "p-flat": "no_spread", "p-cut": "no_spread"}


def test_unreadable_answers_are_no_low_score(workshop: Any, judge: tuple[type[Judge], JudgeParams]) -> None:
    drift = drift_of(workshop, judge[1])
    stage(drift, 4)
    judge[0].broken = True
    assert stage(drift, 8) == ""
    told = drift.trainer.metrics[-1]
    assert told == {"step": 8, "judge_no_spread": 2, "judge_unreadable_judgement": 11, "judge_pairs": 0}


def test_a_resumed_run_does_not_ask_again(workshop: Any, judge: tuple[type[Judge], JudgeParams]) -> None:
    judge[0].turns_at = 45
    whole = drift_of(workshop, judge[1])
    reason, asked = stage(whole, 8), judge[0].asked
    judge[0].broken = True
    again = drift_of(workshop, judge[1])  # from a state of step 3
    again.trainer.metrics[:] = whole.trainer.metrics[:3]
    again.trainer.step = 3
    assert stage(again, 8) == reason
    assert (again.trainer.metrics, judge[0].asked) == (whole.trainer.metrics, asked)


def test_it_needs_a_judge(workshop: Any) -> None:
    with pytest.raises(RecipeError, match="no judge"):
        drift_of(workshop, None)


def recipe(text: str, folder: Any) -> Recipe:
    smoke = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    (folder / "own.toml").write_text(smoke.replace("[r1]\n", f"[r1]\n{text}\n"), encoding="utf-8")
    return load_recipe(str(folder / "own.toml"))


def test_recipe_without_a_judge_is_refused_and_one_without_drift_keeps_its_key(tmp_path: Any) -> None:
    with pytest.raises(RecipeError, match="no \\[judge\\] to ask"):
        node_named(recipe("drift = { every = 2 }", tmp_path), "r1")
    plain = node_named(recipe("", tmp_path), "r1").params.model_dump()
    assert "drift" not in plain


def test_the_judge_is_part_of_the_key() -> None:
    params = node_named(load_recipe("deepseek-r1"), "r1").params
    assert isinstance(params, GrpoParams)
    assert params.drift.judge.startswith("judge deepseek-v3 ")


def stage_of(
    workshop: Any, base: Manifest, server: Server, judge: JudgeParams, rule: dict[str, Any], **sizes: int
) -> Job:
    """A whole stage, its reward models trained for an epoch."""
    inputs = {"init": base, "problems": workshop.problems(4)}
    for model in (HELPFUL, SAFE):
        made = judged(workshop, base, model.model_copy(update={"epochs": 1}))
        reward_model.train(made)
        inputs[model.target] = workshop.committed(made)
    asked = {"max_tokens": 24, "template": "User: {question} Assistant: ", **sizes}
    optimizer = {"learning_rate": 1e-3, "micro_batch": 4}
    params = GrpoParams.model_validate(
        {**asked, "optimizer": optimizer, "general_share": 0.75, "drift": {**rule, "judge": "judge"}}
    )
    params = params.model_copy(update={"reward": RewardParams(helpful_weight=1.0, safe_weight=1.0)})
    job = workshop.job("r1", "grpo", params, inputs, "scratch", Endpoint(server.url, "policy"))
    return Job(**{**vars(job), "judge": judge})


def test_a_stage_logs_its_checks(workshop: Any, base: Manifest, server: Server) -> None:
    pair_template = load_recipe("deepseek-r1").judge.pair_template  # type: ignore[union-attr]
    judge = JudgeParams(url=server.url, model="policy", pair_template=pair_template)
    rule = {"every": 2, "least": 2, "limit": 100.0}
    job = stage_of(workshop, base, server, judge, rule, steps=4, prompts_per_step=4, group=6)
    grpo.train(job)
    rows = pl.DataFrame(workshop.lake.read_table(f"{job.folder}/metrics.parquet"))
    assert rows.filter(pl.col("metric") == "judge_pairs")["step"].to_list() == [2, 4]
    assert workshop.committed(job).labels == {"stopped": "steps: all 4"}


def test_a_judge_that_turns_ends_a_whole_stage_and_the_manifest_says_why(
    workshop: Any,
    base: Manifest,
    server: Server,
    judge: tuple[type[Judge], JudgeParams],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks, whole = list[dict[frozenset[str], str]](), Drift._pairs

    def pairs(self: Drift, found: Collected) -> Any:
        rows = whole(self, found)
        checks.append({frozenset((r["high"], r["low"])): r["high"] for r in rows if "high" in r})
        return rows

    def likes_first(self: Judge, a: str, b: str) -> bool:
        return (checks[-1][frozenset((a, b))] == a) == (len(checks) == 1)

    monkeypatch.setattr(Drift, "_pairs", pairs)
    monkeypatch.setattr(judge[0], "likes_first", likes_first)
    rule = {"every": 1, "votes": 2, "least": 2, "limit": 1.5}
    job = stage_of(workshop, base, server, judge[1], rule, steps=12, prompts_per_step=12, group=4)
    grpo.train(job)
    made = workshop.committed(job)
    rows = pl.DataFrame(workshop.lake.read_table(f"{job.folder}/metrics.parquet"))
    told = {n: dict(rows.filter(metric=n).sort("step").select("step", "value").iter_rows()) for n in WATCHED}
    last = made.counts["steps"]
    assert 1 < last < 12
    assert (told["judge_score"][1], told["judge_score"][last]) == (1.0, -1.0)
    assert told["reward_score"][last] > told["reward_score"][1]
    assert [step for step, value in told["drift"].items() if value > 1.5] == [last]
    assert made.labels["stopped"].startswith(f"drift: reward {told['reward_score'][1]:.4g} -> ")
    assert made.labels["stopped"].endswith(
        ", judge 1 -> -1, {:.3g} standard errors since step 1".format(told["drift"][last])
    )
    assert judge[0].asked > 0
