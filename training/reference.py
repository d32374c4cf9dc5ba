"""The frozen policy that the KL is measured against; replaced every `reference_every` steps (paper B.4.1).

Under ZeRO-3 it lies in shards like the policy, each rank's of the same values of a tensor: it is replaced, saved and
resumed shard by shard, without a whole tensor anywhere. Else it is whole on every rank.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM

from r1data.training_params import GrpoParams
from training.chunked import logprobs_of
from training.core import Weights
from training.kl import full_kl, sampled_kl
from training.loading import load_trained, sharded_config


class Reference:
    """The reference model, or nothing where the recipe has no KL term."""

    def __init__(self, folder: Path, params: GrpoParams, device: torch.device) -> None:
        self.params, self.model = params, None
        self.replaced = False
        self.sharded = params.optimizer.zero_stage == 3
        if params.kl:
            model = load_trained(AutoModelForCausalLM, folder, params.optimizer).eval()
            self.model = self._engine(model) if self.sharded else model.to(device)

    def _engine(self, model: Any) -> Any:
        """DeepSpeed without an optimizer: it gathers each layer for the forward pass and lets go of it."""
        engine, *_ = deepspeed.initialize(model=model, config=sharded_config(self.params.optimizer))
        engine.eval()
        return engine

    def replace(self, weights: Weights | None) -> None:
        """Take other weights; None, of a state without a replaced reference, leaves the first ones."""
        if self.model is None or weights is None:
            return
        self.replaced = True
        if not self.sharded:
            self.model.load_state_dict(weights, strict=False)  # a tied head has no weights of its own
            return
        self.model.empty_partition_cache()  # a tensor that is still gathered would stay as it was
        for name, shard in self._own():
            shard.copy_(_share(weights[name], shard.numel()))

    def follow(self, policy: Any) -> None:
        """Take the weights of a DeepSpeed engine of the same ZeRO stage."""
        tensors = policy.module.named_parameters()
        self.replace({name: p.ds_tensor if self.sharded else p.detach() for name, p in tensors})

    def state(self) -> Weights | None:
        """Replaced weights, for a saved state: of this rank's shards, or whole."""
        return dict(self._own()) if self.model is not None and self.replaced else None

    def _own(self) -> Iterator[tuple[str, torch.Tensor]]:
        assert self.model is not None, "asked where there is one"
        module = self.model.module if self.sharded else self.model
        for name, parameter in module.named_parameters():
            yield name, parameter.ds_tensor.data if self.sharded else parameter.detach()

    def kl(
        self, ids: torch.Tensor, policy: torch.Tensor, logits: torch.Tensor | None, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        """[rows, length - 1] divergence estimates of a policy with these log-probs; 0 without a KL term.

        Only where `wanted`, if that is given. The estimator `full` has the policy's logits too.
        """
        if self.model is None:
            return torch.zeros_like(policy)
        if logits is not None:
            with torch.no_grad():
                own = self.model(input_ids=ids).logits
            return full_kl(logits, own, self.params.temperature)
        with torch.no_grad():
            chunk = self.params.optimizer.loss_chunk
            own = logprobs_of(self.model, ids, self.params.temperature, chunk, wanted)
        return sampled_kl(self.params.kl_estimator, policy, own)


def _share(weights: torch.Tensor, size: int) -> torch.Tensor:
    """This rank's share of a whole tensor, as ZeRO-3 cuts it: in a row, zeros at the end; a share stays as it is."""
    if weights.dim() == 1 and weights.numel() == size:
        return weights
    start = dist.get_rank() * size
    part = weights.flatten()[start : start + size]
    return torch.nn.functional.pad(part, (0, size - part.numel()))
