"""What vLLM loads from us: weight updates through shared files, checked, right on CPU for tied embeddings too.

vLLM packs `lm_head` into its own CPU layout and, when the head is tied, no update ever packs it again: logits go stale
without an error. `repack_tied_head` mends that; on GPUs it does nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

from r1data.errors import ModelError
from r1data.model_folder import MISFIT, misfits, weight_files, weight_shapes

REMEDY = "the engine was started for another config: give it this model's"


def repack_tied_head(model: Any) -> int:
    """Pack the head from the embedding again; the number of heads packed (0 on GPU or untied)."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
    from vllm.platforms import current_platform

    if not current_platform.is_cpu() or not getattr(model.config, "tie_word_embeddings", False):
        return 0
    heads = [m for m in model.modules() if isinstance(m, ParallelLMHead)]
    for head in heads:
        head.weight = model.model.embed_tokens.weight
        head.quant_method.process_weights_after_loading(head)
    return len(heads)


class WorkerExtension:
    """Named on the server's command line so that each worker imports this module, which registers the engine."""


@dataclass
class SharedFileInit(WeightTransferInitInfo):  # type: ignore[misc]
    """Nothing to tell."""


@dataclass
class SharedFileUpdate(WeightTransferUpdateInfo):  # type: ignore[misc]
    """A safetensors file with some of the weights, or a folder with all; `given_up`: the rest will not come."""

    path: str = ""
    given_up: bool = False


class SharedFileEngine(WeightTransferEngine[SharedFileInit, SharedFileUpdate]):  # type: ignore[misc]
    """Backend `shm`: weights from files that both processes see, through vLLM's layer-wise reload.

    vLLM checks few shapes and no completeness: both are checked here. `ModelError` ends the update; the model then
    holds some old weights and some new ones, until an update that succeeds.
    """

    init_info_cls = SharedFileInit
    update_info_cls = SharedFileUpdate
    supports_draft_weight_update = False

    def init_transfer_engine(self, init_info: SharedFileInit) -> None:
        """Nothing to connect."""

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What tensors of the config must look like."""
        return checkpoint_shapes(self.model_config.hf_config)

    def start_weight_update(self) -> None:
        """Prepare every layer for new weights."""
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        put_back(self.model)  # what an update left that was cut off
        initialize_layerwise_reload(self.model)
        self.missing: set[str] | None = loadable(self.model) if self.model_config.quantization is None else None

    def receive_weights(self, update_info: SharedFileUpdate) -> None:
        """Read and load them, file by file."""
        if update_info.given_up:
            put_back(self.model)
            raise ModelError("the weight update was given up", "start another")
        for file in weight_files(Path(update_info.path)):
            self._load(file)

    def _load(self, file: Path) -> None:
        wrong = misfits(weight_shapes(file), self.shapes)
        if wrong:
            put_back(self.model)
            raise ModelError(f"{MISFIT}: {wrong}", REMEDY)
        reached = [""]

        def named() -> Iterator[tuple[str, torch.Tensor]]:
            for name, tensor in load_file(file).items():
                reached.append(name)
                yield name, tensor

        try:
            loaded = self.model.load_weights(named())
        except (AssertionError, AttributeError, KeyError, RuntimeError, ValueError) as e:
            put_back(self.model)
            raise ModelError(f"{MISFIT}: {reached[-1]}: {type(e).__name__}: {e}", REMEDY) from e
        self.missing = None if loaded is None or self.missing is None else self.missing - loaded

    def finish_weight_update(self) -> None:
        """Finish every layer, then the tied head that vLLM forgets."""
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        if self.missing:
            put_back(self.model)
            some = ", ".join(sorted(self.missing)[:3])
            raise ModelError(f"{MISFIT}: {len(self.missing)} parameters did not come: {some}", REMEDY)
        finalize_layerwise_reload(self.model, self.model_config)
        repack_tied_head(self.model)

    def shutdown(self) -> None:
        """Nothing to close."""


def put_back(model: Any) -> None:
    """Give every layer that an unfinished update left half-loaded the weights that it had before."""
    from vllm.model_executor.model_loader.reload.layerwise import _place_kernel_tensors, get_layerwise_info

    for layer in model.modules():
        info = get_layerwise_info(layer)
        if info.can_load() and info.kernel_tensors is not None:
            _place_kernel_tensors(layer, info)
            info.reset()


def loadable(model: Any) -> set[str]:
    """What a whole update must load, by vLLM's names: every parameter but a head that is tied to the embedding."""
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

    names = {name for name, _ in model.named_parameters()}
    if not getattr(model.config, "tie_word_embeddings", False):
        return names
    heads = {f"{name}." for name, m in model.named_modules() if isinstance(m, ParallelLMHead)}
    return {n for n in names if not n.startswith(tuple(heads))}


def checkpoint_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of a config's parameters by their names in transformers; {} where it has no such causal model."""
    from transformers import AutoModelForCausalLM

    if type(config) not in AutoModelForCausalLM._model_mapping:
        return {}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return {name: tuple(p.shape) for name, p in model.state_dict().items()}


if "shm" not in WeightTransferEngineFactory._registry:
    WeightTransferEngineFactory.register_engine("shm", SharedFileEngine)
