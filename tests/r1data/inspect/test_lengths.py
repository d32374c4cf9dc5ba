"""Lengths of preference pairs are where people look: `r1 show` and the page of a run."""

from pathlib import Path

import polars as pl

from r1data.inspect.show import show
from r1data.report.page import page
from r1data.runner import Runner
from r1data.step import Node
from r1data.storage import Lake
from tests.r1data.inspect.tiny_lake import RECIPE, Services, Told, filled, make_lake, step

LENGTHS = ((10, 4), (6, 6), (3, 5), (9, 4))


def preferences(*, params: Told) -> pl.DataFrame:
    """Two pairs with the chosen longer, one with both as long, one with it shorter."""
    told = [{"pair_id": f"{i}", "chosen_characters": a, "rejected_characters": b} for i, (a, b) in enumerate(LENGTHS)]
    return filled("preferences", told)


def lake_with_pairs(folder: Path) -> Lake:
    lake = make_lake(folder)
    runner = Runner(lake, RECIPE, Services(lake), report=lambda _: None)
    runner.run(Node("preferences", "s", step("prefer", "preferences", preferences), Told()))
    return lake


def test_show_and_page_tell_the_lengths_of_pairs(tmp_path: Path) -> None:
    lake = lake_with_pairs(tmp_path)
    told = dict(text.split(": ") for label, text in show(lake, "tiny/preferences").facts if label == "lengths")
    assert told == {
        "mean characters of the chosen": "7.0",
        "mean characters of the rejected": "4.8",
        "pairs with the chosen longer": "2 (50.0 %)",
        "pairs with both as long": "1 (25.0 %)",
    }
    text = page(lake, "tiny")
    assert '<h3 id="stage-preferences">' in text
    assert "<h4>Lengths</h4>" in text
    assert "2 (50.0 %)" in text


def test_other_tables_have_none(tmp_path: Path) -> None:
    lake = make_lake(tmp_path)
    assert not [label for label, _ in show(lake, "tiny/cold_start").facts if label == "lengths"]
    assert "Lengths of" not in page(lake, "tiny")
