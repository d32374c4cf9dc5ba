"""The notebook in `docs/`, every cell of it: on the smoke recipe's lake, and on the demo's where there is one."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from r1data.storage import Lake, Stored
from tests.running import environment

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
PLOTS = 3


@pytest.fixture(params=["smoke", "demo"])
def recipe(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lake(recipe: str, request: pytest.FixtureRequest) -> Lake:
    if recipe == "smoke":
        found = request.getfixturevalue("finished")
        assert isinstance(found, Lake)
        return found
    if not (ROOT / "lake" / "refs" / "demo" / "r1.json").exists():
        pytest.skip("no lake of the demo here: `make demo` makes one")
    return Lake.open(str(ROOT / "lake"))


def stored() -> nbformat.NotebookNode:
    """The notebook as it is kept."""
    found = nbformat.read(NOTEBOOK, 4)  # type: ignore[no-untyped-call]
    assert isinstance(found, nbformat.NotebookNode)
    return found


def told(cell: nbformat.NotebookNode) -> str:
    """What a cell printed and showed, without its pictures."""
    texts = (o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)
    return "\n".join(texts)


def state(lake: Lake) -> list[Stored]:
    """Every object, its size and time."""
    return lake.objects("")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_cell_runs_and_nothing_is_written(recipe: str, lake: Lake, tmp_path: Path) -> None:
    before = state(lake)
    notebook = stored()
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}})
    env = environment(tmp_path, {"R1_LAKE": lake.url, "IPYTHONDIR": str(tmp_path), "MPLBACKEND": ""})
    client.execute(env={k: v for k, v in env.items() if v})
    assert state(lake) == before

    cells = [c for c in notebook.cells if c.cell_type == "code"]
    pictures = [o for c in cells for o in c.outputs if "image/png" in o.get("data", {})]
    assert len(pictures) == PLOTS
    said = {c.source: told(c) for c in cells}
    (opened,) = (text for source, text in said.items() if "list_refs(lake)" in source)
    assert f"recipe {recipe}," in opened
    (traced,) = (text for source, text in said.items() if "traced.models" in source)
    assert all(f"in {recipe}/{name}\n" in traced for name in ("problems", "sft_mix/candidates", "sft_mix/verdicts"))
    assert f"written by:      {recipe}/dev2 " in traced
    assert f"trained on it:   {recipe}/dev3" in traced
    (left,) = (text for source, text in said.items() if "why(lake, gone)" in source)
    assert f"{recipe}/sft_mix/drops: " in left
    (differs,) = (text for source, text in said.items() if '"diff"' in source)
    assert f"{recipe}/eval/dev3 and {recipe}/eval/r1: different contents" in differs
    assert "\npass@1 " in differs


def test_it_is_kept_without_outputs() -> None:
    notebook = stored()
    nbformat.validate(notebook)
    assert [c.id for c in notebook.cells if c.cell_type == "code" and (c.outputs or c.execution_count)] == []
