"""The shape of a decoder from its config.json: parameters, those that work on a token, and what a layer keeps of one.

Counts follow transformers' modules of Qwen2, Qwen3, Llama, Mistral and DeepSeek-V3 (less its multi-token prediction).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r1data.errors import ModelError

DENSE = ("qwen2", "qwen3", "llama", "mistral")
MIXTURES = ("deepseek_v3",)


@dataclass(frozen=True)
class Shape:
    """Parameters in all, those used for a token (`active`), of the largest module that ZeRO-3 gathers at a time.

    Of a layer, for each token: `kept` values that the backward pass needs, `upcast` fp32 ones whatever the precision,
    `attended` values that attention multiplies for each pair of positions, `cached` ones kept to generate what follows.
    """

    parameters: int
    active: int
    gathered: int
    layers: int
    hidden: int
    vocabulary: int
    positions: int
    kept: int
    upcast: int
    attended: int
    cached: int

    def flops(self, context: int) -> float:
        """Of a forward pass, for one of `context` tokens: 2 a parameter (Kaplan et al. 2020, 2.1), causal attention."""
        return 2.0 * self.active + self.layers * 2.0 * self.attended * context


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape that a config.json describes; `ModelError` for an architecture that is not known here."""
    kind = str(config.get("model_type"))
    try:
        if kind in DENSE:
            return _dense(config, kind)
        if kind in MIXTURES:
            return _mixture(config)
    except KeyError as e:
        raise ModelError(
            f"config.json of a {kind} model has no {e}", "take the config that belongs to the model"
        ) from e
    known = ", ".join((*DENSE, *MIXTURES))
    raise ModelError(f"no sizes are known of model_type {kind!r}", f"known: {known}; the training itself may work")


def _dense(c: Mapping[str, Any], kind: str) -> Shape:
    hidden, layers, heads, inner = (
        c["hidden_size"],
        c["num_hidden_layers"],
        c["num_attention_heads"],
        c["intermediate_size"],
    )
    groups, size = c.get("num_key_value_heads") or heads, c.get("head_dim") or hidden // heads
    queries, keys = heads * size, groups * size
    biases = queries + 2 * keys if kind == "qwen2" else 2 * size if kind == "qwen3" else 0  # qwen3: norms of both
    attention = 2 * hidden * queries + 2 * hidden * keys + biases
    layer = attention + 3 * hidden * inner + 2 * hidden
    ends = c["vocab_size"] * hidden * (1 if c.get("tie_word_embeddings") else 2)
    total = layers * layer + ends + hidden
    return Shape(
        parameters=total,
        active=total - (0 if c.get("tie_word_embeddings") else c["vocab_size"] * hidden),  # looking up costs nothing
        gathered=max(hidden * inner, c["vocab_size"] * hidden),
        layers=layers,
        hidden=hidden,
        vocabulary=c["vocab_size"],
        positions=c.get("max_position_embeddings", 0),
        # two norms (scaled, out), q k v, attention's output, gate, its SiLU, up, product
        kept=4 * hidden + 2 * queries + 2 * keys + 4 * inner,
        upcast=2 * hidden + heads,  # what the norms square; the softmax's normaliser of each head
        attended=2 * queries,
        cached=2 * keys,
    )


def _mixture(c: Mapping[str, Any]) -> Shape:
    hidden, layers, heads, inner = (
        c["hidden_size"],
        c["num_hidden_layers"],
        c["num_attention_heads"],
        c["intermediate_size"],
    )
    q_rank, kv_rank, value = c["q_lora_rank"], c["kv_lora_rank"], c["v_head_dim"]
    size = c["qk_nope_head_dim"] + c["qk_rope_head_dim"]
    experts, chosen, shared, width = (
        c[n] for n in ("n_routed_experts", "num_experts_per_tok", "n_shared_experts", "moe_intermediate_size")
    )
    attention = hidden * q_rank + q_rank + q_rank * heads * size
    attention += hidden * (kv_rank + c["qk_rope_head_dim"]) + kv_rank
    attention += kv_rank * heads * (c["qk_nope_head_dim"] + value) + heads * value * hidden
    expert, router, dense = 3 * hidden * width, (hidden + 1) * experts, 3 * hidden * inner
    first = c["first_k_dense_replace"]
    rest = layers - first
    both = layers * (attention + 2 * hidden) + first * dense + hidden + rest * (router + shared * expert)
    ends = c["vocab_size"] * hidden * (1 if c.get("tie_word_embeddings") else 2)
    return Shape(
        parameters=both + rest * experts * expert + ends,
        active=both + rest * chosen * expert + c["vocab_size"] * hidden,
        gathered=max(
            experts * 2 * hidden * width, c["vocab_size"] * hidden
        ),  # gate and up of all experts are one tensor
        layers=layers,
        hidden=hidden,
        vocabulary=c["vocab_size"],
        positions=c.get("max_position_embeddings", 0),
        kept=4 * hidden
        + 2 * (q_rank + kv_rank)
        + heads * (2 * size + 2 * value)
        + (chosen + shared) * 4 * width
        + 2 * chosen * hidden,
        upcast=2 * hidden + heads,
        attended=heads * (size + value),
        cached=heads * (size + value),  # transformers keeps keys and values whole
    )


def _config(
    kind: str, hidden: int, inner: int, layers: int, heads: int, groups: int, words: int, tied: bool
) -> dict[str, Any]:
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": words,
        "tie_word_embeddings": tied,
        "max_position_embeddings": 131_072,
    }


_V3 = {
    **_config("deepseek_v3", 7168, 18432, 61, 128, 128, 129_280, False),
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "max_position_embeddings": 163_840,
}

# what the configs of models that shipped recipes name say, for a plan before they are downloaded
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "DeepSeek-V3-Base": _V3,
    "Qwen2.5-0.5B": _config("qwen2", 896, 4864, 24, 14, 2, 151_936, True),
    "Qwen2.5-1.5B": _config("qwen2", 1536, 8960, 28, 12, 2, 151_936, True),
    "Qwen2.5-Math-1.5B": _config("qwen2", 1536, 8960, 28, 12, 2, 151_936, True),
    "Qwen2.5-7B": _config("qwen2", 3584, 18944, 28, 28, 4, 152_064, False),
    "Qwen2.5-Math-7B": _config("qwen2", 3584, 18944, 28, 28, 4, 152_064, False),
    "Qwen2.5-32B": _config("qwen2", 5120, 27648, 64, 40, 8, 152_064, False),
    "Llama-3.1-8B": _config("llama", 4096, 14336, 32, 32, 8, 128_256, False),
    "Llama-3.3-70B-Instruct": _config("llama", 8192, 28672, 80, 64, 8, 128_256, False),
}
