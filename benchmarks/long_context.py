"""Peak memory of the loss over a vocabulary of 150,000 tokens: all logits at once, and in chunks of 512 positions.

python -m benchmarks.long_context        (3 minutes of a core, 3 GB)

Forward and backward of one sequence through a Qwen2 decoder of one layer (hidden size 64, fp32, on CPU), so that the
loss is nearly all there is. Measured is the growth of the process's resident memory. All logits of 32,768 positions
would not fit here: they grow with the positions, so that two smaller sizes say what they take.
"""

import os
import sys
import time
from typing import Any

import torch

from benchmarks.memory import ENVIRONMENT, reset_peak, resident
from r1data.sizing import GB
from training.chunked import summed_loss

VOCABULARY, HIDDEN, CHUNK = 150_000, 64, 512
WHOLE = (512, 1024)
CHUNKED = (2048, 32768)


def model() -> Any:
    """Nearly all head."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    shape = {"hidden_size": HIDDEN, "intermediate_size": HIDDEN, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = Qwen2Config(vocab_size=VOCABULARY, num_key_value_heads=1, tie_word_embeddings=True, **shape)
    return Qwen2ForCausalLM(config)


def peak(decoder: Any, tokens: int, chunk: int) -> tuple[float, float]:
    """Bytes that a forward and backward pass adds at most, and the processor's seconds."""
    ids = torch.randint(0, VOCABULARY, (1, tokens))
    decoder.zero_grad()
    before, started = resident("VmRSS"), time.process_time()
    reset_peak()
    summed_loss(decoder, ids, ids, chunk).backward()  # type: ignore[no-untyped-call]
    return resident("VmHWM") - before, time.process_time() - started


def main() -> None:
    """Both ways, and what the first would take of the longest sequence."""
    torch.manual_seed(0)
    decoder = model()
    peak(decoder, 64, CHUNK)
    print("| positions | logits | peak, GB | CPU, s |\n|---|---|---|---|")
    slope = 0.0
    for chunk, sizes in ((0, WHOLE), (CHUNK, CHUNKED)):
        for tokens in sizes:
            taken, seconds = peak(decoder, tokens, chunk)
            slope = taken / tokens if not chunk else slope
            print(f"| {tokens:,} | {chunk or 'all'} | {taken / GB:.2f} | {seconds:.0f} |", flush=True)
    print(f"| {CHUNKED[-1]:,} | all | {slope * CHUNKED[-1] / GB:.1f}, from {WHOLE[-1]:,} | |")


if __name__ == "__main__":
    if any(name not in os.environ for name in ENVIRONMENT):  # read when a process starts
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.long_context"], {**os.environ, **ENVIRONMENT})
    main()
