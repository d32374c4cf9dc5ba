"""What a value model as large as the policy (PPO) would add to the memory of GRPO, on each GPU.

python -m benchmarks.value_model        (no time: arithmetic of r1data.sizing)

Policy and value model in bf16 under ZeRO-3, one 8,704-token sequence at a time, layers computed again, the head in
chunks. The value model has states and buffers of its own; its activations come when the policy's are gone.
"""

from r1data.shapes import PUBLISHED, shape_of
from r1data.sizing import GB, Load, memory

CASES = (("Qwen2.5-1.5B", 8), ("Qwen2.5-7B", 8), ("Qwen2.5-32B", 32), ("DeepSeek-V3-Base", 512))
CONTEXT = 8704


def main() -> None:
    """A row a model."""
    print("| policy | GPUs | GRPO, GB | value model, GB more |\n|---|---|---|---|")
    for name, ranks in CASES:
        load = Load(shape_of(PUBLISHED[name]), ranks, 3, "bfloat16", CONTEXT, 1, True, 1024, copies=1)
        policy = memory(load)
        added = policy.weights + policy.gradients + policy.optimizer + policy.buffers
        print(f"| {name} | {ranks} | {policy.total / GB:,.1f} | {added / GB:.1f} |")


if __name__ == "__main__":
    main()
