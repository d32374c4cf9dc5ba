"""The demo's tokenizer as a folder that transformers reads, and padded batches."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from r1data.errors import ModelError
from training.tokens import EOS, IGNORED, PAD, encode, labelled, load_tokenizer, padded, trained_tokenizer

TEXTS = ["User: 12+7=? Assistant: <think>2 plus 7, wait\n2加7得9</think>所以<answer>19</answer>", "a\tb"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    trained_tokenizer(TEXTS).save_pretrained(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("text", TEXTS)
def test_text_survives_a_round_trip(folder: Path, text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_digits_and_tags_are_single_tokens(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    assert tokenizer.tokenize("<think>12</think>") == ["<think>", "1", "2", "</think>"]


def test_special_ids_are_fixed(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (PAD, EOS)


def test_same_texts_give_the_same_ids() -> None:
    assert trained_tokenizer(TEXTS).get_vocab() == trained_tokenizer(list(TEXTS)).get_vocab()


def test_end_is_added_where_asked(folder: Path) -> None:
    tokenizer = load_tokenizer(folder)
    assert encode(tokenizer, ["12"], end=True)[0] == [*encode(tokenizer, ["12"], end=False)[0], EOS]


def test_nothing_encodes_to_nothing(folder: Path) -> None:
    assert encode(load_tokenizer(folder), [], end=True) == []


def test_prompt_and_padding_carry_no_loss() -> None:
    inputs, labels = labelled([[5, 6], [7]], [[8, EOS], [9, 9, 9, EOS]])
    assert inputs.tolist() == [[5, 6, 8, EOS, PAD], [7, 9, 9, 9, EOS]]
    assert labels.tolist() == [[IGNORED, IGNORED, 8, EOS, IGNORED], [IGNORED, 9, 9, 9, EOS]]


def test_padding_goes_to_the_right() -> None:
    assert padded([[3], [4, 5]], PAD).tolist() == [[3, PAD], [4, 5]]


def test_folder_without_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=str(tmp_path)):
        load_tokenizer(tmp_path)
