"""The demo's tokenizer (byte-level BPE as Qwen2's, R1's tags special tokens) and padded batches."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from r1data.errors import ModelError, boundary

SPECIAL = ("<pad>", "<eos>", "<think>", "</think>", "<answer>", "</answer>")
PAD, EOS = 0, 1
IGNORED = -100
TRAINED_ON = 5_000
MOST_TOKENS = 512
LEAST_FREQUENT = 20
_TAGS = re.compile("|".join(SPECIAL))
_QWEN2_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def trained_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE over Qwen2's pieces, trained on the texts; frequent words become tokens, digits stand alone.

    transformers and vLLM load every Qwen2 folder with Qwen2's own pieces, whatever the file says: so these are they.
    """
    tokenizer = Tokenizer(models.BPE())
    pieces = pre_tokenizers.Split(Regex(_QWEN2_PIECES), "isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pieces, to_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MOST_TOKENS,
        min_frequency=LEAST_FREQUENT,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((_TAGS.sub("\n", t) for t in texts[:TRAINED_ON]), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        additional_special_tokens=list(SPECIAL[2:]),
        clean_up_tokenization_spaces=False,
    )


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder."""
    with boundary(ModelError, f"{folder}: no tokenizer", "a model folder needs tokenizer.json"):
        return AutoTokenizer.from_pretrained(str(folder))


def encode(tokenizer: Any, texts: Sequence[str], end: bool) -> list[list[int]]:
    """Token ids of texts, with the end token where asked."""
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return [[*i, tokenizer.eos_token_id] for i in ids] if end else ids


def padded(sequences: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    """[rows, longest] right-padded int64."""
    longest = max(len(s) for s in sequences)
    return torch.tensor([[*s, *([fill] * (longest - len(s)))] for s in sequences])


def labelled(
    prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(input ids, labels) of prompt + completion, the prompt and padding ignored by the loss."""
    pairs = list(zip(prompts, completions, strict=True))
    inputs = padded([[*p, *c] for p, c in pairs], PAD)
    labels = padded([[*([IGNORED] * len(p)), *c] for p, c in pairs], IGNORED)
    return inputs, labels
