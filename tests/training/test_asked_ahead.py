"""Rollouts asked one step ahead: in which order, never too old, and exact after a kill wherever it falls."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deepspeed import DeepSpeedEngine
from safetensors.torch import load_file

from r1data.endpoint import Endpoint
from r1data.errors import EndpointError, ModelError, RecipeError
from r1data.generate.client import Decoding
from r1data.generate.server import Server
from r1data.generate.weights import weight_version
from r1data.manifest import Manifest
from r1data.recipe import SHIPPED, load_recipe
from r1data.run import on_cluster
from r1data.settings import Settings
from r1data.training_params import GrpoParams, PlateauParams
from tests.training.grpo_jobs import PARAMS, job
from tests.training.local_engine import LocalEngine
from training import grpo
from training.best import Best
from training.core import Trainer
from training.engine import ServerEngine
from training.grading import Grader
from training.job import Job
from training.policy import PolicyStep
from training.rollout import Ask, Sample, load_rollouts, rollouts_file, save_rollouts
from training.transfer import Files

LONGEST_S = 120


class Killed(BaseException):
    """As much as is left of a run after SIGKILL."""


def graded(self: Grader, asks: list[Ask], samples: list[Sample], limit: int) -> list[Sample]:
    """Even tokens are wanted; coarse, so that some groups are all alike."""
    for s in samples:
        s.reward, s.verdict = round(4 * sum(t % 2 == 0 for t in s.token_ids) / len(s.token_ids)) / 4, "correct"
    return samples


class Bench:
    """Jobs of one base model and problem set, with an engine each."""

    def __init__(self, workshop: Any, base: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workshop, self.folder, self.patch = workshop, workshop.model(base), monkeypatch
        self.inputs = {"init": base, "problems": workshop.problems(8)}
        monkeypatch.setattr(Grader, "graded", graded)

    def job(self, scratch: str, **changes: Any) -> Job:
        params = PARAMS.model_copy(update={"max_staleness": 1, "max_tokens": 6, **changes})
        made: Job = self.workshop.job("zero", "grpo", params, self.inputs, scratch, Endpoint("http://nowhere", "p"))
        return made

    def train(self, run: Job, on_ask: Callable[[int], None] = lambda _: None, deaf: bool = False) -> LocalEngine:
        engine = LocalEngine(self.folder, on_ask)
        engine.deaf = deaf
        self.patch.setattr(grpo, "_engine", lambda *_: engine)
        grpo.train(run)
        return engine

    def made(self, run: Job) -> tuple[str, pl.DataFrame, dict[str, list[float]]]:
        """(digest, rollouts, values of each metric) of a finished run."""
        metrics = pl.DataFrame(self.workshop.lake.read_table(f"{run.folder}/metrics.parquet")).sort("step")
        values = {str(name): part["value"].to_list() for (name,), part in metrics.group_by("metric")}
        rollouts = pl.DataFrame(self.workshop.lake.read_table(f"{run.folder}/rollouts.parquet")).sort("rollout_id")
        return self.workshop.committed(run).digest, rollouts, values


@pytest.fixture
def bench(workshop: Any, base: Manifest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(workshop, base, monkeypatch)


def weights_by_step(rollouts: pl.DataFrame) -> list[tuple[int, int]]:
    return rollouts.select("step", "weights").unique().sort("step").rows()


def test_the_next_step_is_asked_while_this_one_trains(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each side waits until the other has begun: in any other order neither would end."""
    trained, asked = [threading.Event() for _ in range(4)], [threading.Event() for _ in range(4)]
    learn = PolicyStep.update

    def update(self: PolicyStep, step: int, *told: Any) -> dict[str, float]:
        trained[step].set()
        assert step == 2 or asked[step + 1].wait(LONGEST_S), "the next step was not asked before this one had trained"
        return learn(self, step, *told)

    def on_ask(number: int) -> None:
        asked[number - 1].set()
        assert number == 1 or trained[number - 2].wait(LONGEST_S), "this step did not train before the next was there"

    monkeypatch.setattr(PolicyStep, "update", update)
    run = bench.job("scratch")
    engine = bench.train(run, on_ask)
    assert engine.diary == [("load", 0), ("ask", 0), ("ask", 0), ("load", 1), ("ask", 1)]
    _, rollouts, values = bench.made(run)
    assert weights_by_step(rollouts) == [(1, 0), (2, 0), (3, 1)]
    assert values["staleness"] == [0, 1, 1]
    assert values["mismatch"][0] < 1e-5 < values["mismatch"][2]


def test_by_default_every_step_asks_the_newest_weights_and_no_thread_is_there(bench: Bench) -> None:
    run = bench.job("scratch", max_staleness=0)
    engine = bench.train(run)
    assert engine.diary == [("load", 0), ("ask", 0), ("load", 1), ("ask", 1), ("load", 2), ("ask", 2)]
    assert engine.threads == {"MainThread"}
    _, rollouts, values = bench.made(run)
    assert weights_by_step(rollouts) == [(1, 0), (2, 1), (3, 2)]
    assert values["staleness"] == [0, 0, 0]
    assert min(values["waiting_s"]) > 0
    assert max(values["mismatch"]) < 1e-5


def at(number: int) -> Callable[[int], None]:
    def on_ask(ask: int) -> None:
        if ask == number:
            raise Killed

    return on_ask


def after(patch: pytest.MonkeyPatch, method: str, kind: type, step: int) -> None:
    """Killed when a method returns at a step."""
    real = getattr(kind, method)

    def told(self: Any, *args: Any, **more: Any) -> Any:
        found = real(self, *args, **more)
        if getattr(self, "trainer", self).step == step:
            raise Killed
        return found

    patch.setattr(kind, method, told)


def test_killed_anywhere_the_resumed_run_is_the_unbroken_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """States after steps 2 and 4; rounds of dynamic sampling are asked ahead too, and each is written down."""
    changes = {"steps": 5, "save_every": 2, "dynamic_sampling": 1, "group": 2, "prompts_per_step": 4}
    whole = bench.job("whole", **changes)
    asked = bench.train(whole).asks
    digest, rollouts, values = bench.made(whole)
    assert asked > 5, "the seeds give groups that are all alike"
    assert weights_by_step(rollouts) == [(1, 0), (2, 0), (3, 1), (4, 2), (5, 3)]
    places: dict[str, tuple[int, tuple[str, type, int] | None]] = {
        "between rounds": (asked - 1, None),
        "before the last round": (asked, None),
        "a state was just saved": (0, ("look", Best, 2)),
        "trained, the next step in flight or there": (0, ("update", PolicyStep, 3)),
        "the last state but one": (0, ("save", Trainer, 4)),
    }
    for place, (number, killed) in places.items():
        run = bench.job(place, **changes)
        with monkeypatch.context() as patch:
            if killed:
                after(patch, *killed)
            with pytest.raises(Killed):
                bench.train(run, at(number))
        assert list(run.scratch.glob("state-*")), place
        bench.train(run)
        again = bench.made(run)
        assert again[0] == digest, place
        assert again[1].equals(rollouts), place
        assert again[2]["reward"] == values["reward"], place
        assert again[2]["staleness"] == values["staleness"], place


def test_no_state_is_saved_before_the_rollouts_that_follow_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are held back until a save has begun: it has to wait, since their weights are gone afterwards."""
    saving, found = threading.Event(), list[bool]()
    run = bench.job("scratch", save_every=2)
    save, write = Trainer.save, DeepSpeedEngine.save_checkpoint

    def begun(self: Trainer, *told: Any) -> None:
        saving.set()
        save(self, *told)

    def written(self: DeepSpeedEngine, folder: str, **told: Any) -> bool:
        found.append(rollouts_file(run.scratch, int(folder[-7:])).exists())
        done: bool = write(self, folder, **told)
        return done

    def on_ask(number: int) -> None:
        assert number < 3 or saving.wait(LONGEST_S), "the third step's rollouts were waited for before the save"

    monkeypatch.setattr(Trainer, "save", begun)
    monkeypatch.setattr(DeepSpeedEngine, "save_checkpoint", written)
    bench.train(run, on_ask)
    assert found == [True, False], "of the state after step 2, and of the last one, which nothing follows"


def test_what_is_too_old_is_asked_again_and_never_learnt_from(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = bench.job("scratch")
    with monkeypatch.context() as patch:
        after(patch, "look", Best, 2)
        with pytest.raises(Killed):
            bench.train(run)
    path = rollouts_file(run.scratch, 2)
    old = load_rollouts(path) or []
    assert {s.weights for s in old} == {1}
    for s in old:
        s.weights = 0
    save_rollouts(path, old)
    engine = bench.train(run)
    assert "step 3: recorded rollouts are of the weights after step 0, older than max_staleness 1" in (
        capsys.readouterr().out
    )
    assert engine.diary == [("load", 2), ("ask", 2)]
    _, rollouts, values = bench.made(run)
    assert weights_by_step(rollouts) == [(1, 0), (2, 0), (3, 2)]
    assert values["staleness"] == [0, 1, 0]


def test_engine_that_did_not_take_the_weights_is_asked_nothing(bench: Bench) -> None:
    run = bench.job("scratch", optimizer=PARAMS.optimizer.model_copy(update={"learning_rate": 0.05}))
    with pytest.raises(ModelError, match="right after new weights"):
        bench.train(run, deaf=True)


def test_failure_ahead_ends_the_stage_before_a_state_without_its_rollouts(bench: Bench) -> None:
    run = bench.job("scratch")

    def on_ask(number: int) -> None:
        if number == 3:
            raise EndpointError("gone", "see its log")

    with pytest.raises(EndpointError, match="gone"):
        bench.train(run, on_ask)
    assert [p.name for p in run.scratch.glob("state-*")] == ["state-0000001"]
    bench.train(run)
    assert weights_by_step(bench.made(run)[1]) == [(1, 0), (2, 0), (3, 1)]


def test_what_was_asked_for_a_step_that_does_not_come_is_counted(bench: Bench) -> None:
    run = bench.job("scratch", plateau=PlateauParams(metric="reward", window=1, least_gain=1000.0))
    bench.train(run)
    made = bench.workshop.committed(run)
    assert (made.counts["steps"], made.counts["rollouts_not_trained"]) == (2, 2 * 4)
    assert weights_by_step(bench.made(run)[1]) == [(1, 0), (2, 0)]


def test_samples_of_older_weights_need_their_log_probs(workshop: Any, base: Manifest, server: Server) -> None:
    with pytest.raises(EndpointError, match="whether it has the new weights cannot be told"):
        grpo.train(job(workshop, base, server, max_staleness=1))


def test_server_with_other_weights_than_it_was_given_is_noticed(
    workshop: Any, base: Manifest, server: Server, tmp_path: Path
) -> None:
    mine, another = (ServerEngine([Endpoint(server.url, "policy")], 0, Files(tmp_path / n)) for n in ("a", "b"))
    weights = load_file(workshop.model(base) / "model.safetensors")
    mine.load(weights, "mine-1")
    assert weight_version(server.url) == "mine-1"
    assert mine.complete([], Decoding(1.0, 1.0, 4)) == []
    another.load(weights, "another-7")
    with pytest.raises(EndpointError, match="has weights 'another-7', not 'mine-1'"):
        mine.complete([], Decoding(1.0, 1.0, 4))


def test_answers_during_which_the_weights_changed_are_thrown_away(
    workshop: Any, base: Manifest, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, another = (ServerEngine([Endpoint(server.url, "policy")], 0, Files(tmp_path / n)) for n in ("a", "b"))
    weights = load_file(workshop.model(base) / "model.safetensors")
    mine.load(weights, "mine-1")

    def answered(*_: Any, **__: Any) -> list[Any]:
        another.load(weights, "another-7")
        return []

    monkeypatch.setattr("training.engine.completions", answered)
    with pytest.raises(ModelError, match="answered with weights 'another-7', was given 'mine-1'"):
        mine.complete([], Decoding(1.0, 1.0, 4))


def test_engine_in_the_training_process_is_refused(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="made in the training process"):
        grpo.train(job(workshop, base, None, max_staleness=1))
    ahead, inside = tmp_path / "ahead.toml", tmp_path / "inside.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8").replace("[zero]", "[zero]\nmax_staleness = 1", 1)
    ahead.write_text(text)
    inside.write_text(text.replace("[cluster]", '[cluster]\nrollouts = "in_process"'))
    with pytest.raises(RecipeError, match=r"max_staleness of zero needs cluster\.rollouts"):
        load_recipe(str(inside))
    recipe, cluster = load_recipe(str(ahead)), tmp_path / "cluster.toml"
    assert recipe.zero.max_staleness == 1
    cluster.write_text('rollouts = "in_process"')
    with pytest.raises(RecipeError, match=r"max_staleness of zero needs cluster\.rollouts"):
        on_cluster(recipe, Settings(lake="", scratch=tmp_path, python="", engine="fake", cluster=cluster))


@pytest.mark.parametrize("change", [{"importance": "none"}, {"max_staleness": 2}])
def test_what_could_not_be_corrected_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="max_staleness"):
        GrpoParams.model_validate({**PARAMS.model_dump(), "max_staleness": 1, **change})
