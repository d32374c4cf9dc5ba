"""The page in a real browser, without a network: drawn whole, no complaint, nothing wider than a phone."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from r1data.report.page import page
from tests.r1data.inspect.tiny_lake import make_lake

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")]
MEASURE = """<iframe id=f width={width} height=900 src=page.html></iframe><script>
f.onload = () => {{ const d = f.contentDocument; document.body.dataset.told =
  [d.documentElement.scrollWidth, d.querySelectorAll("svg").length, d.querySelectorAll("table").length,
   d.querySelectorAll("path, use").length].join(" ") }}</script>"""


@pytest.mark.parametrize("width", [390, 1280], ids=["phone", "desk"])
def test_page_is_drawn(tmp_path: Path, width: int) -> None:
    (tmp_path / "page.html").write_text(page(make_lake(tmp_path / "lake"), "tiny"), encoding="utf-8")
    (tmp_path / "measure.html").write_text(MEASURE.format(width=width), encoding="utf-8")
    assert CHROMIUM, "skipped without one"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    flags += ["--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr"]
    command = [CHROMIUM, *flags, "--virtual-time-budget=10000", "--dump-dom", f"file://{tmp_path}/measure.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = re.search(r'data-told="(\d+) (\d+) (\d+) (\d+)"', done.stdout)
    assert told, done.stdout[-2000:]
    drawn, plots, tables, lines = (int(n) for n in told.groups())
    assert drawn <= width
    assert plots >= 1
    assert tables >= 3
    assert lines > plots
    assert "CONSOLE" not in done.stderr
