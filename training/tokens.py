"""The demo's tokenizer (a word with its blanks or a character a token, R1's tags as special tokens), padded batches."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from r1data.errors import ModelError, boundary

SPECIAL = ("<pad>", "<eos>", "<think>", "</think>", "<answer>", "</answer>", "<unk>")
PAD, EOS = 0, 1
IGNORED = -100
_PIECE = re.compile(r" ?[A-Za-z]+ ?|[\s\S]")


def word_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of printable ASCII and every word and character in the texts; ids depend on their set alone.

    A word takes its blanks along, so that English and Chinese chains of thought are equally long and digits stand alone.
    """
    characters = {chr(i) for i in range(32, 127)} | {"\n"}
    seen = {piece for text in set(texts) for piece in _PIECE.findall(text)}
    vocabulary = {token: i for i, token in enumerate((*SPECIAL, *sorted(characters | seen)))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_PIECE.pattern), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(s, special=True, normalized=False) for s in SPECIAL[:-1]])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
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
