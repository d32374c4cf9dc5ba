"""Examples of different lengths end to end in one row: no padding, and no example sees another.

A batch has the same examples packed or not, and the same loss: only how they lie in micro-batches differs. Rows are
filled by best fit (the paper's training module does so, v2 B.1) and dealt so that every rank has as many.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AttentionInterface, AttentionMaskInterface

from r1data.errors import ModelError
from training.schedule import Rows
from training.tokens import IGNORED, PAD

NAME = "packed"


def packs(rows: Rows, lengths: Rows, most: int, ranks: int) -> list[list[Rows]]:
    """By rank, the packs of rows (indices into lengths, none longer than `most`); as many for each rank, some empty.

    Best fit decreasing: the longest first, each into the fullest pack that has room.
    """
    room: list[tuple[int, int]] = []  # (free, pack), sorted
    found: list[list[int]] = []
    for row in sorted((int(r) for r in rows), key=lambda r: (-int(lengths[r]), r)):
        size = int(lengths[row])
        place = bisect_left(room, (size, -1))
        free, number = room.pop(place) if place < len(room) else (most, len(found))
        if number == len(found):
            found.append([])
        found[number].append(row)
        insort(room, (free - size, number))
    found.sort(key=lambda pack: -sum(int(lengths[r]) for r in pack))
    found += [[] for _ in range(-len(found) % ranks)]
    return [[np.array(pack, dtype=np.int64) for pack in found[rank::ranks]] for rank in range(ranks)]


@dataclass(frozen=True)
class Packed:
    """One row [1, tokens] of examples: ids, labels (prompts and first tokens ignored), positions from 0 in each."""

    ids: torch.Tensor
    labels: torch.Tensor
    positions: torch.Tensor
    bounds: tuple[int, ...]

    def inputs(self, device: torch.device) -> dict[str, Any]:
        """What a model takes beside the ids."""
        return {"position_ids": self.positions.to(device), "bounds": self.bounds, "use_cache": False}


def packed(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> Packed:
    """Prompt + completion of every example end to end."""
    ids: list[int] = []
    labels: list[int] = []
    positions: list[int] = []
    bounds = [0]
    for prompt, completion in zip(prompts, completions, strict=True):
        ids += [*prompt, *completion]
        told = [*([IGNORED] * len(prompt)), *completion]
        labels += [IGNORED, *told[1:]]  # what stands before a first token is another example's
        positions += range(len(told))
        bounds.append(len(ids))
    return Packed(torch.tensor([ids]), torch.tensor([labels]), torch.tensor([positions]), tuple(bounds))


def nothing() -> Packed:
    """A pack without a loss, for the rank that has one less: it must still take part in every exchange."""
    return packed([[PAD, PAD]], [[]])


def attend_within(model: Any) -> None:
    """From here the model's attention, given `bounds`, stays within each example; without them it is causal as ever.

    `ModelError` where the model has another attention than full causal layers.
    """
    kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        raise ModelError(f"{type(model).__name__}: packing knows full attention, not {kinds}", "set pack_tokens = 0")
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _no_mask)
    model.set_attn_implementation(NAME)


def _no_mask(*_: Any, **__: Any) -> None:
    """Bounds say what a mask of tokens x tokens would."""


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    bounds: tuple[int, ...] | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """[rows, tokens, heads, size] from [rows, heads, tokens, size]: causal attention, example by example."""
    assert attention_mask is None, "rows are packed or padded to the right"
    bounds = bounds or (0, query.shape[2])
    found = [
        F.scaled_dot_product_attention(
            query[:, :, a:b],
            key[:, :, a:b],
            value[:, :, a:b],
            dropout_p=dropout,
            scale=scaling,
            is_causal=True,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for a, b in pairwise(bounds)
    ]
    return torch.cat(found, 2).transpose(1, 2).contiguous(), None
