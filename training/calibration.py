"""How far a reward model's probabilities can be believed: reliability bins, expected calibration error, log loss.

A pair is predicted with the confidence in its better-scored side, 0.5 to 1; a label with its probability, 0 to 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from r1data.digest import row_id
from schemas import TABLES

BINS = 10
LEAST = 1e-6

Values = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Predictions:
    """[rows] probabilities, what came of each (0 or 1), and the least that a probability can be."""

    probability: Values
    outcome: Values
    least: float = 0.0

    def metrics(self) -> dict[str, float]:
        """`held_out_ece` (mean |predicted - observed| over rows, by bin) and `held_out_log_loss` (nats a row)."""
        bins = self._bins()
        error = sum(len(rows) * abs(self.probability[rows].mean() - self.outcome[rows].mean()) for *_, rows in bins)
        sure = np.clip(self.probability, LEAST, 1 - LEAST)
        loss = -np.where(self.outcome > 0.5, np.log(sure), np.log(1 - sure)).mean()
        return {"held_out_ece": float(error / len(self.outcome)), "held_out_log_loss": float(loss)}

    def table(self, stage: str) -> pa.Table:
        """CALIBRATION: the bins that have rows."""
        rows = [
            {
                "bin_id": row_id("calibration", stage, f"{low:g}", f"{high:g}"),
                "stage": stage,
                "low": low,
                "high": high,
                "rows": len(found),
                "predicted": float(self.probability[found].mean()),
                "observed": float(self.outcome[found].mean()),
            }
            for low, high, found in self._bins()
        ]
        return TABLES["calibration"].conform(pa.Table.from_pylist(rows, schema=TABLES["calibration"].schema))

    def _bins(self) -> list[tuple[float, float, Values]]:
        """(low, high, rows) of the bins that have rows."""
        edges = np.linspace(self.least, 1.0, BINS + 1)
        place = np.clip(np.searchsorted(edges, self.probability, side="right") - 1, 0, BINS - 1)
        found = [(float(edges[i]), float(edges[i + 1]), np.flatnonzero(place == i)) for i in range(BINS)]
        return [b for b in found if len(b[2])]
