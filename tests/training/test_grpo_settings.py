"""What a recipe can set in GRPO, each seen in a whole run or in one update; and runs that must not end well."""

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from r1data.endpoint import Endpoint
from r1data.errors import RecipeError, StageFailed, StorageError
from r1data.generate.server import Server
from r1data.manifest import Manifest
from r1data.recipe import load_recipe
from r1data.rewards.score import Scored, score_completion
from r1data.training_params import GrpoParams, KlEstimator, LengthStep, PlateauParams
from tests.training.grpo_jobs import PARAMS, job, policy_step, samples_of, update, weights_after
from training import grading, grpo
from training.grading import advantages_of
from training.job import Job


def trained(workshop: Any, run: Job) -> tuple[Manifest, pl.DataFrame, dict[str, list[float]]]:
    """(manifest, rollouts, values of each metric) of a run."""
    grpo.train(run)
    metrics = pl.DataFrame(workshop.lake.read_table(f"{run.folder}/metrics.parquet")).sort("step")
    values = {str(name): part["value"].to_list() for (name,), part in metrics.group_by("metric")}
    return workshop.committed(run), pl.DataFrame(workshop.lake.read_table(f"{run.folder}/rollouts.parquet")), values


def components(rollouts: pl.DataFrame, name: str) -> list[float | None]:
    return [json.loads(c).get(name) for c in rollouts["components"]]


def test_completions_grow_with_the_schedule(workshop: Any, base: Manifest, server: Server) -> None:
    longer = (LengthStep(from_step=1, max_tokens=12), LengthStep(from_step=2, max_tokens=20))
    _, rollouts, _ = trained(workshop, job(workshop, base, server, max_tokens=6, length_schedule=longer))
    assert rollouts.group_by("step").agg(pl.col("completion_tokens").max()).sort("step").rows() == [
        (1, 6),
        (2, 12),
        (3, 20),
    ]


def test_plateau_ends_the_stage_and_the_manifest_says_so(workshop: Any, base: Manifest, server: Server) -> None:
    rule = PlateauParams(metric="completion_tokens", window=1, least_gain=1000.0)
    made, rollouts, _ = trained(workshop, job(workshop, base, server, plateau=rule))
    assert (made.counts["steps"], rollouts["step"].max()) == (2, 2)
    assert made.labels["stopped"].startswith("plateau: completion_tokens")


def test_all_steps_are_a_reason_too(workshop: Any, base: Manifest, server: Server) -> None:
    made, _, _ = trained(workshop, job(workshop, base, server))
    assert made.labels["stopped"] == "steps: all 3"


def test_what_was_cut_is_penalised_by_name(workshop: Any, base: Manifest, server: Server) -> None:
    run = job(workshop, base, server, max_tokens=6, overlong="penalty", overlong_weight=0.5)
    _, rollouts, values = trained(workshop, run)
    assert set(components(rollouts, "overlong")) == {-0.5}
    assert values["reward_overlong"] == pytest.approx([-0.5] * 3)
    assert values["reward"] == pytest.approx([-0.5] * 3)


def test_kl_in_the_reward_is_a_component_and_no_term_of_the_loss(workshop: Any, base: Manifest, server: Server) -> None:
    run = job(workshop, base, server, kl=0.5, kl_place="reward", kl_estimator="k1", reference_every=99)
    _, rollouts, values = trained(workshop, run)
    assert components(rollouts.filter(pl.col("step") == 1), "kl") == pytest.approx([0.0] * 8, abs=1e-4)
    later = rollouts.filter(pl.col("step") == 3)
    assert max(abs(c or 0.0) for c in components(later, "kl")) > 0
    sums = [sum(json.loads(c).values()) for c in later["components"]]
    assert later["reward"].to_list() == pytest.approx(sums)
    assert values["kl"][2] == pytest.approx(-values["reward_kl"][2] / 0.5 / values["completion_tokens"][2])
    assert values["reward_kl"][2] == pytest.approx(sum(c or 0.0 for c in components(later, "kl")) / 8)


DYNAMIC = {"dynamic_sampling": 2, "group": 2, "prompts_per_step": 4, "max_tokens": 40}


def test_dynamic_sampling_is_replayed_and_not_asked_again(workshop: Any, base: Manifest, server: Server) -> None:
    whole, steps = job(workshop, base, server, **DYNAMIC), PARAMS.steps
    in_the_way = Path(workshop.lake.path("data/zero"))
    in_the_way.write_text("no folder, so the commit fails")
    with pytest.raises(StorageError):
        grpo.train(whole)
    in_the_way.unlink()
    for state in sorted(whole.scratch.glob("state-*"))[1:]:
        shutil.rmtree(state)
    gone = workshop.job(
        "zero", "grpo", whole.node.params, whole.inputs, "scratch", Endpoint("http://127.0.0.1:9", "policy")
    )
    replayed, rollouts, values = trained(workshop, gone)
    extra = int(sum(values["extra_verified"]))
    assert extra > 0, "the seeds give groups without spread"
    assert rollouts.height == 2 * (4 * steps + extra), "what was replaced is in the record"
    again, same, _ = trained(workshop, job(workshop, base, server, **DYNAMIC))
    assert again.digest == replayed.digest
    assert same.equals(rollouts)


def test_failing_reward_is_a_clear_error_and_the_last_state_is_kept(
    workshop: Any, base: Manifest, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [0]

    def failing(*told: Any) -> Scored:
        calls[0] += 1
        if calls[0] > 12:  # in the second step
            raise ZeroDivisionError("no units")
        return score_completion(*told)

    run = job(workshop, base, server)
    with monkeypatch.context() as patch:
        patch.setattr(grading, "score_completion", failing)
        with pytest.raises(StageFailed, match="a reward failed: ZeroDivisionError: no units"):
            grpo.train(run)
    assert [p.name for p in run.scratch.glob("state-*")] == ["state-0000001"]
    assert not workshop.lake.exists(f"{run.folder}/_manifest.json")
    mended, _, _ = trained(workshop, run)
    unbroken = workshop.job("zero", "grpo", PARAMS, run.inputs, "other", *run.endpoints)
    assert trained(workshop, unbroken)[0].digest == mended.digest


def test_loss_that_is_no_number_ends_the_stage_and_the_last_state_is_kept(
    workshop: Any, base: Manifest, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [0]

    def lost(*told: Any) -> torch.Tensor:
        calls[0] += 1
        return advantages_of(*told) * (float("nan") if calls[0] == 2 else 1.0)

    run = job(workshop, base, server)
    monkeypatch.setattr(grpo, "advantages_of", lost)
    with pytest.raises(StageFailed, match="step 2: the loss is nan"):
        grpo.train(run)
    assert [p.name for p in run.scratch.glob("state-*")] == ["state-0000001"]


def test_schedule_must_be_in_order() -> None:
    unordered = [{"from_step": 5, "max_tokens": 9}, {"from_step": 2, "max_tokens": 8}]
    with pytest.raises(ValueError, match="each must be later"):
        GrpoParams.model_validate({**PARAMS.model_dump(), "length_schedule": unordered})


def test_group_of_one_is_refused(workshop: Any, base: Manifest) -> None:
    with pytest.raises(RecipeError, match="nothing to compare with"):
        grpo.train(job(workshop, base, None, group=1))


def test_masked_samples_are_not_learnt_from(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    cut, undecided = (samples_of(workshop, base, 8, None) for _ in range(2))
    cut[3].finish_reason, undecided[3].reward = "length", None
    masked = weights_after(policy_step(workshop, base, tmp_path, cut, overlong="mask"))
    assert torch.equal(masked, weights_after(policy_step(workshop, base, tmp_path, undecided)))
    assert not torch.equal(masked, weights_after(policy_step(workshop, base, tmp_path, cut)))


def test_micro_batches_are_of_one_length_prompts_counted(workshop: Any, base: Manifest, tmp_path: Path) -> None:
    step = policy_step(workshop, base, tmp_path, samples_of(workshop, base, 8, None))
    step.prompts[0] = [10] * 9
    lengths = [len(step.prompts[s.ask]) + len(s.token_ids) for s in step.samples]
    (rows,) = step._parts(0)
    assert [lengths[r] for r in rows] == sorted(lengths)
    completions = [len(step.samples[r].token_ids) for r in rows]
    assert completions != sorted(completions), "the order by completions is another"


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "absolute", "full"])
def test_every_estimate_is_zero_at_the_reference(
    workshop: Any, base: Manifest, tmp_path: Path, estimator: KlEstimator
) -> None:
    step = policy_step(workshop, base, tmp_path, samples_of(workshop, base, 8, None), kl_estimator=estimator)
    assert update(step)["kl"] == pytest.approx(0.0, abs=1e-6)
    assert abs(update(step)["kl"]) > 1e-6


def test_the_papers_figures_are_a_recipe() -> None:
    zero = load_recipe("deepseek-r1").zero
    assert zero.prompts_per_step * zero.group == 8192
    assert (zero.updates_per_rollout, zero.clip_low, zero.clip_high) == (16, 10.0, 10.0)
    assert [zero.tokens_at(s) for s in (0, 512, 513)] == [32768, 32768, 65536]
    assert 512 * zero.updates_per_rollout < 8200 <= 513 * zero.updates_per_rollout


@pytest.mark.parametrize("name", ["demo", "smoke", "qwen-7b"])
def test_settings_that_a_recipe_does_not_use_enter_no_key(name: str) -> None:
    told = load_recipe(name).zero.model_dump(mode="json")
    assert told.keys().isdisjoint(
        ["kl_place", "dynamic_sampling", "plateau", "overlong", "length_schedule", "max_staleness"]
    )
    assert "overlong" in load_recipe(name).zero.model_copy(update={"overlong": "mask"}).model_dump(mode="json")
