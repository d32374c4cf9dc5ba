"""How long chosen and rejected are, of any dataset of preferences: a reward model learns length where they differ."""

import polars as pl

from r1data.manifest import Manifest, read_rows
from r1data.storage import Lake


def pair_lengths(lake: Lake, manifest: Manifest) -> list[tuple[str, str]]:
    """(label, text) of PREFERENCES: mean characters of both, and how many pairs have the chosen longer or as long.

    Empty for any other table and for no pairs.
    """
    if not (manifest.table or "").startswith("preferences/") or not manifest.rows:
        return []
    rows = pl.DataFrame(read_rows(lake, manifest, ["chosen_characters", "rejected_characters"]))
    chosen, rejected = rows["chosen_characters"].to_list(), rows["rejected_characters"].to_list()
    both = list(zip(chosen, rejected, strict=True))
    return [
        ("mean characters of the chosen", f"{sum(chosen) / len(both):.1f}"),
        ("mean characters of the rejected", f"{sum(rejected) / len(both):.1f}"),
        ("pairs with the chosen longer", _share(sum(a > b for a, b in both), len(both))),
        ("pairs with both as long", _share(sum(a == b for a, b in both), len(both))),
    ]


def _share(rows: int, whole: int) -> str:
    return f"{rows:,} ({100 * rows / whole:.1f} %)"
