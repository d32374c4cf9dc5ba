"""Pre-train a demo model on the corpus: a Qwen2 decoder and its tokenizer, from nothing.

python -m training.pretrain --recipe demo --node base --lake ./lake
"""

import sys

import numpy as np
import torch
import torch.distributed as dist
from transformers import Qwen2Config, Qwen2ForCausalLM

from r1data.runner import frame_of
from r1data.training_params import ArchitectureParams, PretrainParams
from training.checkpoint import commit_checkpoint
from training.core import Trainer, batch_at, start
from training.job import Job, run
from training.losses import completion_loss
from training.tokens import EOS, PAD, encode, labelled, trained_tokenizer

VOCABULARY_MULTIPLE = 64


def train(job: Job) -> None:
    """Next-token training for the stated number of steps."""
    params = job.node.params
    assert isinstance(params, PretrainParams), f"{job.node.name}: no pre-training node"
    rank, world = start(params.seed)
    texts = frame_of(job.lake, job.inputs["corpus"])["text"].to_list()
    tokenizer = trained_tokenizer(texts)
    heads, tails = split_documents(texts, params.loss_after)
    prompts, learnt = encode(tokenizer, heads, end=False), encode(tokenizer, tails, end=True)
    lengths = np.array([len(p) + len(t) for p, t in zip(prompts, learnt, strict=True)])
    model = Qwen2ForCausalLM(configuration(params.architecture, len(tokenizer)))
    trainer = Trainer(model, params.optimizer, params.steps, params.batch, job.scratch, rank, world)
    trainer.resume()
    while trainer.step < params.steps:
        rows = batch_at(lengths, params.batch, params.seed, trainer.step)
        count = float(sum(len(learnt[i]) for i in rows))
        total = torch.zeros(1)
        for micro in trainer.mine(rows):
            inputs, labels = labelled([prompts[i] for i in micro], [learnt[i] for i in micro])
            inputs, labels = inputs[:, : params.max_length], labels[:, : params.max_length]
            logits = trainer.engine(input_ids=inputs.to(trainer.device)).logits
            loss = completion_loss(logits, labels.to(trainer.device)) / count
            trainer.backward(loss)
            total += loss.detach().cpu()
        if world > 1:
            dist.all_reduce(total)
        trainer.record(loss=float(total))
        if trainer.step % params.save_every == 0:
            trainer.save()
    commit_checkpoint(job, trainer, tokenizer, texts[:4], None)


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
    sys.exit(run(train))
