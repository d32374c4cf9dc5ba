"""What vLLM's workers are given is checked: shapes against the config, names, completeness; a failed update ends."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from r1data.errors import ModelError

pytestmark = pytest.mark.slow  # imports vLLM


class Model(torch.nn.Module):
    """Loads as vLLM's models do: by name, nothing checked but that the name is known."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.inner, self.config = Qwen2ForCausalLM(config), config
        self.loaded: list[str] = []

    def named_parameters(self, *told: Any, **more: Any) -> Any:
        return self.inner.named_parameters(*told, **more)

    def load_weights(self, weights: Any) -> set[str]:
        known, found = dict(self.inner.named_parameters()), set()
        for name, weight in weights:
            known[name].data = weight
            found.add(name)
        self.loaded += found
        return found


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The transfer engine of the workers, on a model of transformers; vLLM's layer-wise reload does nothing to it."""
    vllm_ext = pytest.importorskip("training.vllm_ext")
    config = Qwen2Config(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2)
    made = vllm_ext.Receiver.__new__(vllm_ext.Receiver)
    made.model, made.model_config = Model(config), SimpleNamespace(hf_config=config, quantization=None)
    for name in ("initialize_layerwise_reload", "finalize_layerwise_reload"):
        monkeypatch.setattr(f"vllm.model_executor.model_loader.reload.{name}", lambda *_: None)
    return made


def put(engine: Any, weights: dict[str, torch.Tensor], folder: Path) -> None:
    save_file(weights, folder / "part.safetensors")
    engine.receive_weights(engine.parse_update_info({"path": str(folder / "part.safetensors")}))


def test_weights_of_another_config_are_refused_with_both_shapes(engine: Any, tmp_path: Path) -> None:
    right = {n: w.detach().clone() for n, w in engine.model.inner.named_parameters()}
    engine.start_weight_update()
    wrong = right | {"model.layers.0.self_attn.q_proj.weight": torch.zeros(9, 8)}
    with pytest.raises(ModelError, match=r"layers\.0\.self_attn\.q_proj\.weight is \[9, 8\], the model's is \[8, 8\]"):
        put(engine, wrong, tmp_path)
    assert engine.model.loaded == [], "nothing of a bucket that does not fit"
    with pytest.raises(ModelError, match=r"model\.layers\.2\.norm: KeyError"):
        put(engine, {"model.layers.2.norm": torch.zeros(1)}, tmp_path)

    engine.start_weight_update()
    put(engine, {n: w for n, w in right.items() if "layers.1" not in n}, tmp_path)
    with pytest.raises(ModelError, match=r"12 parameters did not come: model\.layers\.1\.input_layernorm\.weight"):
        engine.finish_weight_update()
    with pytest.raises(ModelError, match="given up"):
        engine.receive_weights(engine.parse_update_info({"given_up": True}))
    with pytest.raises(ModelError, match="names no weights"):
        engine.receive_weights(engine.parse_update_info({}))

    engine.start_weight_update()
    for name, weight in right.items():
        put(engine, {name: weight}, tmp_path)
    engine.finish_weight_update()
