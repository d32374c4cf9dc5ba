"""What docs/scale.md quotes of `r1 plan`: the same commands are run, and every quoted line has to be among theirs."""

import re
from pathlib import Path

import pytest

from tests.r1data.cli.test_cli import Typed, r1

__all__ = ["r1"]
PAGE = (Path(__file__).parents[2] / "docs/scale.md").read_text(encoding="utf-8")
SUMS = re.findall(r"^\| `([\w-]+)` \| (\d+) \| ([\d,]+) \| ([\d,]+) \| (\d+) of (?:\d+ samplings|\d+) \|$", PAGE, re.M)
BLOCKS: list[str] = re.findall(r"^```\n(.+?)^```$", PAGE, re.M | re.S)
LATER = "the number of prompts is known once problems are there"


def test_the_page_quotes_all_recipes_and_three_plans() -> None:
    assert [s[0] for s in SUMS] == ["smoke", "demo", "qwen-7b", "deepseek-r1"]
    first, second, third = _plans()
    assert first.startswith("$ r1 plan deepseek-r1\n")
    assert second.startswith("trainings on 512 x 80 GB")
    assert third.startswith("trainings on 512 x 141 GB")


@pytest.mark.parametrize(("recipe", "nodes", "prompts", "tokens", "later"), SUMS)
def test_sums_are_what_the_plan_says(
    r1: Typed, tmp_path: Path, recipe: str, nodes: str, prompts: str, tokens: str, later: str
) -> None:
    lines = _lines("\n".join(r1("plan", recipe, "--lake", str(tmp_path))[1:]))
    table = lines[: lines.index("")]
    assert (table[0], len(table) - 1) == ("stage node status reason", int(nodes))
    (total,) = (line for line in lines if line.startswith("total "))
    assert total.startswith(f"total {prompts} <= {tokens} ")
    assert sum(line.endswith(LATER) for line in lines) == int(later)


def test_the_plan_of_the_papers_recipe_is_quoted(r1: Typed, tmp_path: Path) -> None:
    printed = r1("plan", "deepseek-r1", "--lake", str(tmp_path))
    _quoted(_plans()[0].split("\n")[1:], printed)


@pytest.mark.parametrize(("memory_gb", "plan", "code"), [(80, 1, 1), (141, 2, 0)])
def test_the_plan_on_512_gpus_is_quoted(
    r1: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory_gb: int, plan: int, code: int
) -> None:
    (cluster,) = re.findall(r"^```toml\n(# rl\.toml.+?)^```$", PAGE, re.M | re.S)
    assert cluster.count("memory_gb = 80") == 1
    (tmp_path / "rl.toml").write_text(cluster.replace("memory_gb = 80", f"memory_gb = {memory_gb}"))
    monkeypatch.setenv("R1_CLUSTER", str(tmp_path / "rl.toml"))
    printed = r1("plan", "deepseek-r1", "--lake", str(tmp_path / "lake"))
    assert printed[0] == code
    _quoted(_plans()[plan].split("\n"), printed)


def _plans() -> list[str]:
    """Blocks of a plan's output."""
    return [b for b in BLOCKS if b.startswith(("$ r1 plan", "trainings on"))]


def _quoted(quoted: list[str], printed: tuple[int, str, str]) -> None:
    """Every line that the page has is one that was printed; what it leaves out is shown by dots."""
    lines = _lines(f"{printed[1]}\n{printed[2]}")
    for line in _lines("\n".join(quoted)):
        start, dots, _ = line.partition("...")
        assert any(other == line or (dots and other.startswith(start)) for other in lines), line


def _lines(text: str) -> list[str]:
    """Without what lines columns up."""
    return [re.sub(r"\s+", " ", line).strip() for line in text.split("\n")]
