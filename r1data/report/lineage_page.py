"""The lineage page of a recipe: what its nodes' refs point to and what that was made from, beside the run's page."""

from collections.abc import Mapping

from r1data.inspect.graph import read_graph
from r1data.inspect.picture import page
from r1data.manifest import Manifest
from r1data.storage import Lake

CENTRE = "r1"


def write_lineage(lake: Lake, recipe: str, made: Mapping[str, Manifest]) -> str:
    """Write `reports/RECIPE/lineage.html` around the recipe's model, else around what was made last; the object's name.

    It reads as many manifests as the recipe has, however old the lake is.
    """
    centre = made.get(CENTRE) or max(made.values(), key=lambda m: m.finished)
    graph = read_graph(lake, only=[f"{recipe}/{name}" for name in made])
    name = f"reports/{recipe}/lineage.html"
    lake.write(name, page(graph, centre.path).encode())
    return name
