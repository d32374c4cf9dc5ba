"""r1data: the DeepSeek-R1 training recipe as a data pipeline. `import r1data` needs neither torch nor Prefect.

For notebooks: `r1data.scan(ref)` is a Polars LazyFrame, `r1data.sample(ref, by=..., n=...)` some rows of each kind,
`r1data.compare(a, b)` the rows that differ. The lake is R1_LAKE or ./lake unless `lake=` is given.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r1data.inspect.compare import compare
    from r1data.inspect.read import scan
    from r1data.inspect.sample import sample

__all__ = ["compare", "sample", "scan"]
READERS = {"compare": "compare", "sample": "sample", "scan": "read"}


def __getattr__(name: str) -> Any:
    """Readers are loaded when first used, so that importing a part of the package loads no Polars."""
    if name in READERS:
        from importlib import import_module

        return getattr(import_module(f"r1data.inspect.{READERS[name]}"), name)
    raise AttributeError(f"module 'r1data' has no attribute {name!r}")
