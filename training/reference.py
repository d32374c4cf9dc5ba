"""The frozen policy that the KL is measured against; replaced every `reference_every` steps (paper B.4.1)."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from r1data.training_params import GrpoParams
from training.chunked import logprobs_of
from training.core import Weights, load_model
from training.kl import full_kl, sampled_kl


class Reference:
    """The reference model, or nothing where the recipe has no KL term."""

    def __init__(self, folder: Path, params: GrpoParams, device: torch.device) -> None:
        self.params, self.model = params, None
        self.replaced = False
        if params.kl:
            self.model = load_model(AutoModelForCausalLM, folder, params.optimizer.dtype).eval().to(device)

    def replace(self, weights: Weights | None) -> None:
        """Take other weights; None, of a state without a replaced reference, leaves the first ones."""
        if self.model is not None and weights is not None:
            self.model.load_state_dict(weights, strict=False)  # a tied head has no weights of its own
            self.replaced = True

    def state(self) -> Weights | None:
        """Replaced weights, for a saved state."""
        if self.model is None or not self.replaced:
            return None
        return {name: p.detach().cpu() for name, p in self.model.named_parameters()}

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
