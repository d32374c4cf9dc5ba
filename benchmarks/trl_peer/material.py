"""What both sides are given: a model folder, and completions with lengths as an engine would leave them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from r1data.rewards.score import score_completion
from r1data.training_params import RewardParams
from r1data.verify.verdicts import Asked, judged
from training.rollout import Ask, Sample
from training.tokens import EOS, PAD, encode, trained_tokenizer

VOCABULARY, LONGEST, FULL = 2048, 200, 64
SHAPE = {
    **{"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4},
    **{"num_attention_heads": 4, "num_key_value_heads": 2},
}
WORDS = (
    *("so", "we", "add", "the", "tens", "and", "ones", "then", "check", "once", "more", "wait"),
    *("that", "is", "not", "right", "let", "me", "see", "again"),
)
GOOD, TEMPERATURE = 0.4, 1.0


def made_model(folder: Path) -> None:
    """A Qwen2 decoder of 3.5 M random parameters, its head a seventh of them, with a tokenizer of words and digits."""
    tokenizer = trained_tokenizer(
        [f"User: {' '.join(WORDS)} 12+34=? Assistant: <think> {' '.join(WORDS)} </think>"] * 50
    )
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        max_position_embeddings=LONGEST + 64,
        tie_word_embeddings=True,
        initializer_range=0.05,
        pad_token_id=PAD,
        bos_token_id=None,
        eos_token_id=EOS,
        **SHAPE,
    )
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def lengths(count: int, varied: bool, rng: np.random.Generator) -> list[int]:
    """Tokens of completions: all alike, or heavy-tailed (log-normal: median 40, mean 50, cut at LONGEST)."""
    if not varied:
        return [FULL] * count
    found: list[int] = np.exp(rng.normal(3.7, 0.9, count)).astype(int).clip(12, LONGEST).tolist()
    return found


def rollout(tokenizer: Any, step: int, prompts: int, group: int, varied: bool) -> tuple[list[Ask], list[Sample]]:
    """The asks of a step and `group` ungraded completions of each: a thought of words, an answer that may be right."""
    rng = np.random.default_rng([7, step])
    asks, samples = [], []
    for i in range(prompts):
        a, b = (int(n) for n in rng.integers(10, 99, 2))
        text = f"User: {step}.{i} {' '.join(rng.choice(WORDS, rng.integers(2, 12)))} {a}+{b}=? Assistant: "
        asks.append(Ask(f"{step}-{i}", text, str(a + b), "en", "math"))
        for k, size in enumerate(lengths(group, varied, rng)):
            said = a + b if rng.random() < GOOD else int(rng.integers(20, 198))
            (end,) = encode(tokenizer, [f"</think>\n<answer>{said}</answer>"], end=True)
            (head,) = encode(tokenizer, ["<think>" + " ".join(rng.choice(WORDS, LONGEST))], end=False)
            ids = [*head[: size - len(end)], *end]
            samples.append(Sample(i, k, 0, "", ids, [], "stop"))
    return asks, samples


def rewards(texts: list[str], golds: list[str]) -> list[float | None]:
    """By our rules: exact and symbolic comparison, format, language."""
    found = judged([Asked(t, "stop", g) for t, g in zip(texts, golds, strict=True)])
    return [score_completion(t, "stop", v, "en", RewardParams()).reward for t, v in zip(texts, found, strict=True)]


@torch.no_grad()
def engine_logprobs(model: Any, prompts: list[list[int]], samples: list[Sample]) -> None:
    """Gives each sample log-probs under the model, a little off as another engine's are."""
    rng = np.random.default_rng(3)
    for s in samples:
        head = prompts[s.ask]
        logits = model(input_ids=torch.tensor([[*head, *s.token_ids]])).logits[0, len(head) - 1 : -1] / TEMPERATURE
        own = logits.log_softmax(-1).gather(1, torch.tensor(s.token_ids)[:, None])[:, 0]
        s.logprobs = (own + torch.tensor(rng.normal(0, 0.005, len(own)))).tolist()
