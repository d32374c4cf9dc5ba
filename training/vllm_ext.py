"""What vLLM loads from us: weight updates, checked, by three ways, right on CPU for tied embeddings too.

By files that both processes see, over a process group (NCCL between GPUs), or handed over within one process.

vLLM packs `lm_head` into its own CPU layout and, when the head is tied, no update ever packs it again: logits go stale
without an error. `repack_tied_head` mends that; on GPUs it does nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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

from r1data.errors import EndpointError, ModelError
from r1data.model_folder import MISFIT, misfits, weight_files, weight_shapes
from training.groups import Gone, Group, received

REMEDY = "the engine was started for another config: give it this model's"
HANDED: list[dict[str, torch.Tensor]] = []  # parts that the trainer of this process gives its own engine


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
class Init(WeightTransferInitInfo):  # type: ignore[misc]
    """Where the trainer waits, as rank 0 of a process group of `world`; no port: there is no group."""

    host: str = ""
    port: int = 0
    backend: str = ""
    world: int = 0


@dataclass
class Update(WeightTransferUpdateInfo):  # type: ignore[misc]
    """Some of the weights: a safetensors file or a folder of them, a parcel of the group, or what was handed over.

    `given_up`: the rest will not come.
    """

    path: str = ""
    names: list[str] = field(default_factory=list)
    dtypes: list[str] = field(default_factory=list)
    shapes: list[list[int]] = field(default_factory=list)
    handed: bool = False
    given_up: bool = False


class Receiver(WeightTransferEngine[Init, Update]):  # type: ignore[misc]
    """Backend `r1`: weights go through vLLM's layer-wise reload, part by part.

    vLLM checks few shapes and no completeness: both are checked here. `ModelError` ends the update; the model then
    holds some old weights and some new ones, until an update that succeeds.
    """

    init_info_cls = Init
    update_info_cls = Update
    supports_draft_weight_update = False
    group: Group | None = None

    def init_transfer_engine(self, init_info: Init) -> None:
        """Join the trainer's group, if it has one; the group before is left."""
        self.shutdown()
        if init_info.port:
            parallel = self.parallel_config
            rank = 1 + parallel.data_parallel_index * parallel.world_size + parallel.rank
            place = init_info.host, init_info.port, init_info.backend
            self.group = Group.join(*place, rank, init_info.world, self.device)

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

    def receive_weights(self, update_info: Update) -> None:
        """Take and load them."""
        if update_info.given_up:
            put_back(self.model)
            raise ModelError("the weight update was given up", "start another")
        if update_info.handed:
            part = HANDED.pop()
            self._check({name: tuple(w.shape) for name, w in part.items()})
            self._load(part)
        elif update_info.names:
            self._check({n: tuple(s) for n, s in zip(update_info.names, update_info.shapes, strict=True)})
            self._load(self._received(update_info))
        elif update_info.path:
            for file in weight_files(Path(update_info.path)):
                self._check(weight_shapes(file))
                self._load(load_file(file))
        else:
            put_back(self.model)
            raise ModelError("a weight update that names no weights", "give a path, names, or what is handed over")

    def _received(self, update_info: Update) -> dict[str, torch.Tensor]:
        try:
            if self.group is None:
                raise Gone("this server is in none: it was started anew")
            return received(self.group, vars(update_info), self.device)
        except Gone as e:
            self.shutdown()
            put_back(self.model)
            raise EndpointError(f"weights over a process group: {e}", "the trainer's next update forms another") from e

    def _check(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        if wrong := misfits(shapes, self.shapes):
            self.shutdown()  # a trainer that has begun to send hears of it
            put_back(self.model)
            raise ModelError(f"{MISFIT}: {wrong}", REMEDY)

    def _load(self, part: Mapping[str, torch.Tensor]) -> None:
        reached = [""]

        def named() -> Iterator[tuple[str, torch.Tensor]]:
            for name, tensor in part.items():
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
        """Leave the group."""
        if self.group is not None:
            self.group.close()
            self.group = None


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


if "r1" not in WeightTransferEngineFactory._registry:
    WeightTransferEngineFactory.register_engine("r1", Receiver)
