"""Packed examples give the loss and gradients of padded ones; the head in chunks those of all logits at once."""

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import Gemma2Config, Gemma2ForCausalLM, Qwen2Config, Qwen2ForCausalLM

from r1data.errors import ModelError
from r1data.training_params import OptimizerParams, SftParams
from training.chunked import chunked_logprobs, logprobs_of, summed_loss
from training.losses import completion_loss, token_logprobs
from training.packing import attend_within, nothing, packed, packs
from training.tokens import labelled

VOCABULARY = 97
EQUAL = 1e-6

Gradients = dict[str, torch.Tensor]


def tiny(tied: bool = True) -> Any:
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen2Config(
        vocab_size=VOCABULARY, num_key_value_heads=2, tie_word_embeddings=tied, initializer_range=0.2, **shape
    )
    return Qwen2ForCausalLM(config)


@pytest.fixture
def examples() -> tuple[list[list[int]], list[list[int]]]:
    rng = np.random.default_rng(0)

    def texts(sizes: list[int]) -> list[list[int]]:
        return [rng.integers(2, VOCABULARY, n).tolist() for n in sizes]

    return texts([5, 3, 9, 2, 0]), texts([11, 4, 1, 7, 6])


def loss_and_gradients(model: Any, loss: Any) -> tuple[float, Gradients]:
    model.zero_grad()
    loss.backward()
    return float(loss.detach()), {n: p.grad.clone() for n, p in model.named_parameters()}


def apart(one: Gradients, other: Gradients) -> float:
    return max(float((one[n] - other[n]).abs().max()) for n in one)


@pytest.mark.parametrize("chunk", [0, 1, 7, 1000])
@pytest.mark.parametrize("tied", [True, False])
def test_packed_equals_padded(examples: Any, chunk: int, tied: bool) -> None:
    model = tiny(tied)
    ids, labels = labelled(*examples)
    counted = float(sum(map(len, examples[1])))
    plain, expected = loss_and_gradients(model, completion_loss(model(input_ids=ids).logits, labels) / counted)
    attend_within(model)
    pack = packed(*examples)
    loss = summed_loss(model, pack.ids, pack.labels, chunk, **pack.inputs(torch.device("cpu"))) / counted
    found, gradients = loss_and_gradients(model, loss)
    assert found == pytest.approx(plain, abs=EQUAL)
    assert apart(gradients, expected) < EQUAL


def test_no_example_sees_another(examples: Any) -> None:
    model = tiny()
    attend_within(model)
    pack = packed(*examples)
    more = pack.inputs(torch.device("cpu"))
    before = model(input_ids=pack.ids, **more).logits[0]
    changed = pack.ids.clone()
    first = pack.bounds[1]
    changed[0, :first] = (changed[0, :first] + 1) % VOCABULARY
    after = model(input_ids=changed, **more).logits[0]
    assert torch.equal(before[first:], after[first:])
    assert not torch.equal(before[:first], after[:first])
    without = model(input_ids=pack.ids, position_ids=more["position_ids"], use_cache=False).logits[0]
    assert not torch.allclose(without[first:], before[first:], atol=1e-3)


def test_an_empty_pack_has_no_loss_and_no_gradient() -> None:
    model = tiny()
    attend_within(model)
    pack = nothing()
    for chunk in (0, 8):
        loss = summed_loss(model, pack.ids, pack.labels, chunk, **pack.inputs(torch.device("cpu")))
        found, gradients = loss_and_gradients(model, loss)
        assert found == 0.0
        assert all(not g.any() for g in gradients.values())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_chunked_logprobs_equal_those_of_all_logits(examples: Any, tied: bool, temperature: float) -> None:
    model = tiny(tied)
    ids, _ = labelled(*examples)
    weight = torch.randn(ids.shape[0], ids.shape[1] - 1)
    whole = token_logprobs(model(input_ids=ids).logits, ids, temperature)
    _, expected = loss_and_gradients(model, (whole * weight).mean())
    for chunk in (1, 5, 64):
        parts = logprobs_of(model, ids, temperature, chunk)
        assert torch.allclose(parts, whole, rtol=EQUAL, atol=EQUAL)
        _, gradients = loss_and_gradients(model, (parts * weight).mean())
        assert apart(gradients, expected) < EQUAL


@pytest.mark.parametrize("chunk", [0, 5])
@pytest.mark.parametrize("few", [True, False])
def test_logprobs_of_wanted_positions_alone(examples: Any, chunk: int, few: bool) -> None:
    model = tiny()
    ids, _ = labelled(*examples)
    wanted = torch.rand(ids.shape[0], ids.shape[1] - 1, generator=torch.Generator().manual_seed(1)) < 0.5 * few
    weight = torch.randn(wanted.shape)
    whole = token_logprobs(model(input_ids=ids).logits, ids, 0.7) * wanted
    _, expected = loss_and_gradients(model, (whole * weight).sum())
    parts = logprobs_of(model, ids, 0.7, chunk, wanted)
    assert torch.allclose(parts, whole, rtol=EQUAL, atol=EQUAL)
    _, gradients = loss_and_gradients(model, (parts * weight).sum())
    assert apart(gradients, expected) < 1e-5


def test_the_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(6, 4, requires_grad=True), torch.randn(9, 4, requires_grad=True)
    targets = torch.arange(6)

    def loss(h: torch.Tensor, w: torch.Tensor) -> Any:
        return chunked_logprobs(h, w, targets, 0.8, 4).sum()

    loss(hidden, weight).backward()
    for tensor in (hidden, weight):
        step = torch.zeros_like(tensor)
        step[2, 1] = 1e-2
        pair = [
            loss(hidden + s * step, weight) if tensor is hidden else loss(hidden, weight + s * step) for s in (1, -1)
        ]
        assert tensor.grad is not None
        assert float((pair[0] - pair[1]).detach()) / 2e-2 == pytest.approx(float(tensor.grad[2, 1]), abs=1e-3)


def test_the_head_is_itself_again_afterwards(examples: Any) -> None:
    model = tiny()
    ids, labels = labelled(*examples)
    summed_loss(model, ids, labels, 4)
    assert model(input_ids=ids).logits.shape == (*ids.shape, VOCABULARY)


@pytest.mark.parametrize("chunk", [0, 6])
def test_checkpointed_gradients_are_the_same(examples: Any, chunk: int) -> None:
    model = tiny().train()
    ids, labels = labelled(*examples)
    plain, expected = loss_and_gradients(model, summed_loss(model, ids, labels, chunk))
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    found, gradients = loss_and_gradients(model, summed_loss(model, ids, labels, chunk))
    assert found == plain
    assert apart(gradients, expected) == 0.0


def test_models_that_change_their_logits_are_refused() -> None:
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = Gemma2Config(vocab_size=20, num_key_value_heads=1, head_dim=16, **shape)
    model: Any = Gemma2ForCausalLM(config)
    ids = torch.tensor([[1, 2, 3]])
    logits = model(input_ids=ids).logits
    assert torch.equal(summed_loss(model, ids, ids, 0), completion_loss(logits, ids)), "without a chunk: all its logits"
    wanted = torch.tensor([[True, False]])
    assert torch.equal(logprobs_of(model, ids, 1.0, 0, wanted), token_logprobs(logits, ids, 1.0) * wanted)
    with pytest.raises(ModelError, match="final_logit_softcapping"):
        summed_loss(model, ids, ids, 2)
    with pytest.raises(ModelError, match="full attention"):
        attend_within(model)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_every_row_is_in_one_pack_that_fits(ranks: int) -> None:
    lengths = np.random.default_rng(1).integers(1, 50, 200)
    rows = np.random.default_rng(2).permutation(200)[:90]
    found = packs(rows, lengths, 64, ranks)
    flat = list(chain.from_iterable(found))
    assert sorted(chain.from_iterable(p.tolist() for p in flat)) == sorted(rows.tolist())
    assert max(int(lengths[p].sum()) for p in flat) <= 64
    assert len({len(mine) for mine in found}) == 1
    assert sum(len(p) == 0 for p in flat) < ranks
    assert sum(len(p) > 0 for p in flat) <= 1.1 * lengths[rows].sum() / 64 + 1  # best fit leaves little room


def test_packs_do_not_depend_on_the_order_of_rows() -> None:
    lengths = np.random.default_rng(1).integers(1, 50, 40)
    one, other = packs(np.arange(40), lengths, 64, 2), packs(np.arange(40)[::-1], lengths, 64, 2)
    assert [[p.tolist() for p in mine] for mine in one] == [[p.tolist() for p in mine] for mine in other]


def test_a_row_must_have_room_for_an_example() -> None:
    with pytest.raises(ValidationError, match="no row for one"):
        SftParams(optimizer=OptimizerParams(learning_rate=1e-3), max_length=64, pack_tokens=32)


def test_settings_that_are_off_are_not_in_the_key() -> None:
    told = SftParams(optimizer=OptimizerParams(learning_rate=1e-3))
    assert not {"pack_tokens", "loss_chunk", "gradient_checkpointing"} & {
        *told.model_dump(),
        *told.optimizer.model_dump(),
    }
    on = SftParams(optimizer=OptimizerParams(learning_rate=1e-3, loss_chunk=8), pack_tokens=512)
    assert on.model_dump(mode="json")["pack_tokens"] == 512
    assert on.model_dump(mode="json")["optimizer"]["loss_chunk"] == 8
