"""Bands: how much of the candidates each gate may drop. Outside, something before it is not what it was.

Near-duplicates are a share of what passed the gates before.
"""

import json
from collections.abc import Mapping

import polars as pl

from r1data.errors import CheckFailed, NoSuchObject
from r1data.gate_params import Band
from r1data.manifest import Manifest, read_rows
from r1data.storage import Lake

COUNTS = "_checks/gates.json"
GATE = "gate"
OF_STEP = {"contamination": "contaminated_candidates", "near_duplicate": "near_duplicates"}


def check_bands(lake: Lake, drops: Manifest, bands: Mapping[str, Band]) -> None:
    """Raise `CheckFailed` with counts where a gate dropped more or less of the candidates than its band allows."""
    if not bands:
        return
    whole = drops.counts[f"rows_in_{drops.parents[0].role}"]
    asked = {gate: band for gate, band in bands.items() if OF_STEP.get(gate, GATE) == drops.step}
    if not asked or not whole:
        return
    counted = _dropped(lake, drops)
    lines = [
        f"  {gate} dropped {counted.get(gate, 0):,} of {whole:,} candidates ({counted.get(gate, 0) / whole:.1%}), "
        f"its band is {low:.1%} to {high:.1%}"
        for gate, (low, high) in asked.items()
        if not low <= counted.get(gate, 0) / whole <= high
    ]
    if lines:
        section = drops.name.split("/")[1]
        raise CheckFailed(
            f"{drops.name}: outside the bands of the recipe\n" + "\n".join(lines),
            f"the ref did not move; the rows that left are in {lake.uri(drops.path)}. Look at what made them; "
            f"if they are right, change the threshold or [{section}.gate.bands] (neither samples again)",
        )


def _dropped(lake: Lake, drops: Manifest) -> dict[str, int]:
    """Rows by gate, counted once and kept beside them: a run that has nothing to do reads no shard."""
    name = f"{drops.path}/{COUNTS}"
    try:
        told: dict[str, int] = json.loads(lake.read(name))
    except NoSuchObject:
        rows = pl.DataFrame(read_rows(lake, drops, ["gate"]))["gate"].value_counts(sort=True).iter_rows()
        told = dict(rows)
        lake.write(name, json.dumps(told).encode())
    return told
