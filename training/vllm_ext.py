"""What a vLLM server loads from us: weight updates through a shared file, right on CPU for tied embeddings too.

vLLM packs `lm_head` into its own CPU layout and, when the head is tied, no update ever packs it again: logits go stale
without an error. `repack_tied_head` mends that; on GPUs it does nothing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

from r1data.model_folder import weight_files


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
    """The safetensors file, or the folder with several."""

    path: str = ""


class SharedFileEngine(WeightTransferEngine[SharedFileInit, SharedFileUpdate]):  # type: ignore[misc]
    """Backend `shm`: weights from a file both processes see, through vLLM's layer-wise reload."""

    init_info_cls = SharedFileInit
    update_info_cls = SharedFileUpdate
    supports_draft_weight_update = False

    def init_transfer_engine(self, init_info: SharedFileInit) -> None:
        """Nothing to connect."""

    def start_weight_update(self) -> None:
        """Prepare every layer for new weights."""
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: SharedFileUpdate) -> None:
        """Read and load them, file by file."""
        files = weight_files(Path(update_info.path))
        self.model.load_weights(pair for file in files for pair in load_file(file).items())

    def finish_weight_update(self) -> None:
        """Finish every layer, then the tied head that vLLM forgets."""
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        finalize_layerwise_reload(self.model, self.model_config)
        repack_tied_head(self.model)

    def shutdown(self) -> None:
        """Nothing to close."""


if "shm" not in WeightTransferEngineFactory._registry:
    WeightTransferEngineFactory.register_engine("shm", SharedFileEngine)
