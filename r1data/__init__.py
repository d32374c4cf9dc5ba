"""r1data: the DeepSeek-R1 training recipe as a data pipeline. `import r1data` needs neither torch nor Prefect.

`r1data.scan("demo/cold_start")` is a Polars LazyFrame over the current ref;
`r1data.sample_rows(ref, n)` gives some of its rows.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r1data.inspect.read import sample_rows, scan

__all__ = ["sample_rows", "scan"]


def __getattr__(name: str) -> Any:
    """Readers are loaded when first used, so that importing a part of the package loads no Polars."""
    if name in __all__:
        from r1data.inspect import read

        return getattr(read, name)
    raise AttributeError(f"module 'r1data' has no attribute {name!r}")
