"""A real Prefect server of the test's own: free port, fresh database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prefect_server import serving


@pytest.fixture
def prefect_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The API of a server of its own (free port, fresh database) and the file with its log."""
    with serving(tmp_path) as found:
        yield found
