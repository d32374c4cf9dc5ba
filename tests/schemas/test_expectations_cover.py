"""What a recipe may ask for, the published tables allow."""

import json
from pathlib import Path
from typing import get_args

from r1data.recipe import SourceParams

SUITES = Path(__file__).resolve().parents[2] / "schemas" / "expectations"


def test_every_kind_of_source_may_be_published() -> None:
    suite = json.loads((SUITES / "problems.json").read_text(encoding="utf-8"))
    (kinds,) = (e["kwargs"]["value_set"] for e in suite["expectations"] if e["kwargs"].get("column") == "kind")
    asked = set(get_args(SourceParams.model_fields["kind"].annotation))
    assert asked <= set(kinds)
