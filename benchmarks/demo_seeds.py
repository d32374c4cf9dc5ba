"""The demo's claims, once a seed: real vLLM and DeepSpeed, minutes a seed on two cores; what is done is not rerun.

python -m benchmarks.demo_seeds 0 1 2        prints claim x seed as Markdown (docs/claims.md)
"""

import re
import sys
import time
from pathlib import Path

from r1data.recipe import recipe_path
from r1data.report.claims import claims
from r1data.report.evaluation import COLUMNS, markdown, rows
from r1data.run import run_recipe
from r1data.settings import Settings
from r1data.storage import Lake


def main(seeds: list[int]) -> None:
    """Run what is missing, then print both tables."""
    settings = Settings.from_environment()
    lake = Lake.open(settings.lake)
    took = {seed: run(seed, settings) for seed in seeds}
    found = {seed: claims(lake, name(seed)) for seed in seeds}
    head = ("claim", "wanted", *(f"seed {seed}" for seed in seeds), "holds")
    body = []
    for lines in zip(*found.values(), strict=True):
        cells = [f"{c.measured} ({c.interval})" for c in lines]
        body.append((lines[0].text, lines[0].wanted, *cells, verdict([c.holds for c in lines])))
    print(markdown(head, body))
    for seed in seeds:
        print(f"\nSeed {seed}" + (f", {took[seed]:.0f} s" if took[seed] else "") + "\n")
        print(markdown(COLUMNS, rows(lake, name(seed))))


def name(seed: int) -> str:
    """The recipe's name for a seed."""
    return f"demo-seed-{seed}"


def run(seed: int, settings: Settings) -> float:
    """Run the demo with a seed; the seconds it took, 0 if nothing was left to do."""
    path = Path(settings.scratch) / f"{name(seed)}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = recipe_path("demo").read_text(encoding="utf-8")
    path.write_text(re.sub(r'^name = "demo"$', f'name = "{name(seed)}"\nseed = {seed}', text, count=1, flags=re.M))
    started = time.monotonic()
    computed = run_recipe(str(path), settings, report=lambda line: print(line, file=sys.stderr, flush=True))
    return time.monotonic() - started if computed else 0.0


def verdict(holds: list[str]) -> str:
    """`yes` where it holds for every seed."""
    return holds[0] if len(set(holds)) == 1 else f"{holds.count('yes')} of {len(holds)}"


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [0, 1, 2])
