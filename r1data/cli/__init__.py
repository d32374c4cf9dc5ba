"""`r1`: run and plan recipes, look at what the lake holds. Every command's --help has an example."""

from r1data.cli import care, clearing, gates, lineage, look, sharing, work
from r1data.cli.app import main

__all__ = ["care", "clearing", "gates", "lineage", "look", "main", "sharing", "work"]
