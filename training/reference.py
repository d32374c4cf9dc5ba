"""The frozen policy that the KL is measured against; replaced every `reference_every` steps (paper B.4.1)."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from r1data.training_params import GrpoParams
from training.chunked import logprobs_of
from training.core import Weights, load_model


class Reference:
    """The reference model, or nothing where the recipe has no KL term."""

    def __init__(self, folder: Path, params: GrpoParams, device: torch.device) -> None:
        self.model = None
        self.replaced = False
        self.chunk = params.optimizer.loss_chunk
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

    @torch.no_grad()
    def logprobs(self, ids: torch.Tensor, temperature: float) -> torch.Tensor | None:
        """[rows, length - 1], or None without a KL term."""
        if self.model is None:
            return None
        return logprobs_of(self.model, ids, temperature, self.chunk)
