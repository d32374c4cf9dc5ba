"""Pre-train a demo model on the corpus: a Qwen2 decoder and its tokenizer, from nothing.

python -m training.pretrain --recipe demo --node base --lake ./lake
"""

import numpy as np
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from r1data.errors import RecipeError
from r1data.runner import frame_of
from r1data.training_params import ArchitectureParams, PretrainParams
from training.checkpoint import commit_checkpoint
from training.chunked import summed_loss
from training.core import Trainer, start
from training.job import Job, end, run
from training.keeper import Keeper
from training.schedule import Rows, batch_size
from training.supervised import train_supervised
from training.tokens import EOS, PAD, encode, labelled, trained_tokenizer

VOCABULARY_MULTIPLE = 64


def train(job: Job) -> None:
    """Next-token training for the stated number of steps."""
    params = job.node.params
    assert isinstance(params, PretrainParams), "checked when the job was opened"
    if params.max_length > params.architecture.max_positions:
        raise RecipeError(
            f"{job.node.name}: max_length {params.max_length} is more than the model's "
            f"{params.architecture.max_positions} positions",
            "raise architecture.max_positions or lower max_length",
        )
    rank, world = start(params.seed)
    texts = frame_of(job.lake, job.inputs["corpus"])["text"].to_list()
    batch = batch_size(len(texts), params.batch, world)
    tokenizer = trained_tokenizer(texts)
    heads, tails = split_documents(texts, params.loss_after)
    prompts = [p[: params.max_length] for p in encode(tokenizer, heads, end=False)]
    whole = encode(tokenizer, tails, end=True)
    learnt = [t[: params.max_length - len(p)] for p, t in zip(prompts, whole, strict=True)]
    lengths = np.array([len(p) + len(t) for p, t in zip(prompts, learnt, strict=True)])
    counts = np.array(
        [len(t) - (not p) for p, t in zip(prompts, learnt, strict=True)]
    )  # nothing predicts a first token
    model = Qwen2ForCausalLM(configuration(params.architecture, len(tokenizer)))
    trainer = Trainer(model, params.optimizer, params.steps, batch, job.scratch, rank, world, keeper=Keeper(job, rank))
    trainer.resume()

    def part(micro: Rows, rows: Rows) -> torch.Tensor:
        inputs, labels = labelled([prompts[i] for i in micro], [learnt[i] for i in micro])
        device, chunk = trainer.device, params.optimizer.loss_chunk
        loss = summed_loss(trainer.engine, inputs.to(device), labels.to(device), chunk)
        return loss / max(1.0, float(counts[rows].sum()))

    reason, kept = train_supervised(trainer, lengths, params, part)
    cut = sum(len(a) < len(b) for a, b in zip(learnt, whole, strict=True))
    told = {"cut_to_max_length": cut, **kept}
    commit_checkpoint(job, trainer, tokenizer, texts[:4], told, labels={"stopped": reason})


def split_documents(texts: list[str], mark: str) -> tuple[list[str], list[str]]:
    """(what is given, what is learnt) of each document; without the mark all of it is learnt."""
    parts = [t.partition(mark) if mark and mark in t else ("", "", t) for t in texts]
    return [head + found for head, found, _ in parts], [tail for _, _, tail in parts]


def configuration(architecture: ArchitectureParams, vocabulary: int) -> Qwen2Config:
    """A Qwen2 config; tied embeddings, vocabulary padded to a multiple of 64."""
    size = -(-vocabulary // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE
    return Qwen2Config(
        vocab_size=size,
        hidden_size=architecture.hidden_size,
        intermediate_size=architecture.intermediate_size,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.kv_heads,
        max_position_embeddings=architecture.max_positions,
        initializer_range=architecture.initializer_range,
        rope_parameters={"rope_type": "default", "rope_theta": architecture.rope_theta},
        tie_word_embeddings=True,
        eos_token_id=EOS,
        pad_token_id=PAD,
        bos_token_id=None,
        dtype="float32",
    )


if __name__ == "__main__":
    end(run(train, PretrainParams))
