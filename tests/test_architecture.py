"""What a reader may rely on: small files and functions, a docstring a module, light imports, nothing private."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("flows", "r1data", "training", "schemas")
MODULES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
FILE_LINES = 400
FUNCTION_LINES = 60
HEAVY = ("torch", "prefect", "great_expectations", "vllm", "transformers", "deepspeed", "ray")
PRIVATE = re.compile(r"/work/|/root/|/opt/(pypi|wheels)|\bextra-index-url\b|find-links")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_is_small_and_explained(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= FILE_LINES
    assert ast.get_docstring(tree), "a module opens with what it is"
    assert path.stem not in {"utils", "common", "helpers", "misc"}
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno}
    assert {k: v for k, v in long.items() if v > FUNCTION_LINES} == {}


def test_there_are_modules() -> None:
    assert len(MODULES) > 20


def test_import_r1data_is_light() -> None:
    code = f"import sys, r1data, r1data.cli; print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    assert run.stdout.strip() == "[]"


def test_no_private_place_is_named() -> None:
    run = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    files = [ROOT / f for f in run.stdout.split("\0") if f and f != _name(Path(__file__))]
    assert files
    found = [_name(f) for f in files if f.suffix != ".png" and PRIVATE.search(f.read_text(encoding="utf-8"))]
    assert found == []
