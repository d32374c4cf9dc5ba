"""Prefect's own pages in a real Chromium: a run, its artifacts and the forms show what the lake holds.

The whole smoke recipe is there and published; then its distillation is changed, so that one run trains, samples,
compares with what is current and finds the rest. The browser can reach nothing but this machine. Screenshots are left
in the test's folder.
"""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, sync_playwright

from r1data.recipe import SHIPPED, load_recipe
from r1data.refs import Current, list_refs, resolve
from r1data.report import audit, claims, cost, evaluation, regression, verdicts
from r1data.report.curves import curves, metrics
from r1data.report.funnel import funnel
from r1data.report.gathered import gathered
from r1data.storage import Lake
from tests.browser import CHROMIUM, FLAGS, MARKS
from tests.prefect_server import post, serving
from tests.running import environment

ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), *MARKS]
SHOWN_MS = 60_000
RUN = """
from flows.nightly import nightly
from flows.r1 import r1
from flows.stage import stage
nightly.to_deployment("nightly").apply()
stage.to_deployment("dev1", parameters={{"stage": "dev1"}}).apply()
r1({recipe!r}, {lake!r})
"""


@dataclass
class Site:
    """A server whose interface is at `root`, the lake its run was in, that lake on the web, and a page to look with."""

    root: str
    lake: Lake
    web: str
    page: Page
    shots: Path
    asked: list[Request] = field(default_factory=list)
    failed: list[Request] = field(default_factory=list)

    def open(self, path: str, words: str, shot: str) -> str:
        """All that a page says, once it says these words; a screenshot of it is kept."""
        self.page.goto(self.root + path)
        self.page.get_by_text(words).first.wait_for(timeout=SHOWN_MS)
        self.page.screenshot(path=self.shots / f"{shot}.png", full_page=True)
        return self.page.inner_text("body")

    def find(self, kind: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """What the API has."""
        found: list[dict[str, Any]] = post(f"{self.root}/api/{kind}/filter", asked)
        return found

    def open_artifact(self, key: str) -> str:
        """All that the page of the one artifact with that key says."""
        (found,) = self.find("artifacts", {"artifacts": {"key": {"any_": [key]}}})
        return self.open(f"/artifacts/artifact/{found['id']}", found["description"][:30], key)

    def tables(self) -> list[list[str]]:
        """The cells of every row of every table on the page."""
        rows = "[...document.querySelectorAll('tr')].map(r => [...r.children].map(c => c.innerText.trim()))"
        found: list[list[str]] = self.page.evaluate(rows)
        return [row for row in found if row]


@pytest.fixture(scope="module")
def site(finished: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The interface after a run over a copy of the finished lake, in which the distillation was new."""
    folder = tmp_path_factory.mktemp("interface")
    shutil.copytree(finished.root, folder / "lake")
    lake = Lake.open(str(folder / "lake"))
    regression.published(lake, "smoke")
    recipe = folder / "changed.toml"
    text = (SHIPPED / "smoke.toml").read_text(encoding="utf-8")
    assert "[distill]\nepochs = 1\n" in text
    recipe.write_text(text.replace("[distill]\nepochs = 1\n", "[distill]\nepochs = 2\n"), encoding="utf-8")
    with serving(folder) as (api, _), _web(folder / "lake") as web, sync_playwright() as playwright:
        told = {"PREFECT_API_URL": api, "PREFECT_HOME": str(folder / "own"), "R1_LAKE_WEB": web}
        (folder / "own").mkdir()
        code = RUN.format(recipe=str(recipe), lake=lake.url)
        command = [sys.executable, "-c", code]
        env = environment(folder / "scratch", told)
        run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)
        assert run.returncode == 0, run.stderr[-3000:]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, ALONE])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        found = Site(api.removesuffix("/api"), lake, web, page, folder)
        page.on("request", lambda request: found.asked.append(request))
        page.on("requestfailed", lambda request: found.failed.append(request))
        yield found
        browser.close()


@contextmanager
def _web(folder: Path) -> Iterator[str]:
    """A folder as a web site."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _shown(cells: Sequence[Sequence[str]]) -> list[list[str]]:
    """Cells as a page has them: no dashes of their own."""
    return [["" if c == "-" else c.removeprefix("- ") for c in row] for row in cells]


def test_the_run_names_its_stages_and_artifacts(site: Site) -> None:
    (run,) = site.find("flow_runs", {"flow_runs": {"name": {"like_": "changed.toml"}}})
    site.open(f"/runs/flow-run/{run['id']}", "Completed", "run")
    site.page.get_by_text("Subflow Runs", exact=True).click()
    for stage in ("evaluate", "r1", "distill"):
        site.page.get_by_role("link", name=stage, exact=True).first.wait_for(timeout=SHOWN_MS)
    site.page.get_by_text("Artifacts", exact=True).last.click()
    for key in ("run", "evaluation", "verdicts", "audit", "cost", "distill-progress"):
        site.page.get_by_text(f"smoke-{key}", exact=True).first.wait_for(timeout=SHOWN_MS)
    site.page.screenshot(path=site.shots / "run-artifacts.png", full_page=True)
    mine = site.find("artifacts", {"artifacts": {"flow_run_id": {"any_": [run["id"]]}}})
    assert [a["key"] for a in mine if not a["description"]] == []


def test_evaluation_has_the_figures_and_the_change_since_what_is_current(site: Site) -> None:
    site.open_artifact("smoke-evaluation")
    rows = site.tables()
    lake, change = site.lake, regression.comparisons(site.lake, "smoke")
    wanted = [
        *evaluation.rows(lake, "smoke"),
        *(c.cells for c in change),
        *(c.cells for c in claims.claims(lake, "smoke")),
    ]
    assert [row for row in wanted if list(row) not in rows] == []
    outcomes = {c.checkpoint: c.outcome for c in change}
    assert outcomes["r1"] == "same"
    assert outcomes["distill"] in ("kept up", "worse")


def test_tables_have_the_figures_of_the_lake(site: Site) -> None:
    lake, recipe = site.lake, load_recipe("smoke")
    made = {r.removeprefix("smoke/"): resolve(lake, r) for r in list_refs(lake) if r.startswith("smoke/")}
    lines = cost.rows(cost.spent(gathered(lake, "smoke"), recipe.cluster), recipe.cluster)
    judged = verdicts.verdict_rows(lake, made)
    assert len(judged) > 10
    tables: dict[str, Sequence[Sequence[str]]] = {
        "smoke-verdicts": judged,
        "smoke-cost": lines,
        "smoke-cold-start-drops-funnel": funnel(lake, "smoke/cold_start/drops").cells,
    }
    for key, cells in tables.items():
        site.open_artifact(key)
        rows = site.tables()
        assert [row for row in _shown(cells) if row not in rows] == [], key


def test_the_audit_has_counts_and_examples(site: Site) -> None:
    text = " ".join(site.open_artifact("smoke-audit").split())
    rows = site.tables()
    found = audit.audits(Current(site.lake), "smoke")
    assert [row for row in audit.rows_of(found) if list(row) not in rows] == []
    differing = audit.disagreements(found)
    assert differing
    assert [line for line in differing if " ".join(line.split()) not in text] == []


def test_curves_are_pictures(site: Site) -> None:
    text = site.open_artifact("smoke-zero-curves")
    sizes = site.page.evaluate("[...document.images].map(i => [i.naturalWidth, i.naturalHeight, i.clientWidth])")
    assert len(sizes) == 1
    assert min(sizes[0]) > 300
    told = [plot.told for plot in curves(metrics(site.lake, resolve(site.lake, "smoke/zero")))]
    assert len(told) > 5
    assert [words for words in told if words not in text] == []


def test_what_models_wrote_is_text(site: Site) -> None:
    text = site.open_artifact("smoke-cold-start-drops-funnel-examples")
    assert "<think>" in text
    assert site.page.locator("think").count() == 0


def test_links_lead_to_pages_of_the_lake(site: Site) -> None:
    site.open_artifact("smoke-run")
    links = {a.inner_text(): str(a.get_attribute("href")) for a in site.page.locator("a").all()}
    site.open_artifact("smoke-cold-start")
    links["verdicts page"] = str(site.page.get_by_role("link", name="verdicts", exact=True).get_attribute("href"))
    assert links["verdicts"] == "/artifacts/key/smoke-verdicts"
    for name, title in (("report", "Recipe smoke"), ("lineage", "Lineage of smoke/r1"), ("verdicts page", "verdicts")):
        assert links[name].startswith(site.web)
        site.page.goto(links[name])
        assert title in site.page.inner_text("h1"), name
    site.open(links["verdicts"], "smoke-verdicts", "history")


def test_progress_of_stage_sampling_and_training_ends_at_the_whole(site: Site) -> None:
    keys = ("smoke-distill-progress", "smoke-eval-distill-candidates-progress", "smoke-stage-distill-progress")
    for key in keys:
        (found,) = site.find("artifacts", {"artifacts": {"key": {"any_": [key]}}})
        assert float(json.loads(str(found["data"]))) == 100, key
        assert "100%" in site.open_artifact(key)
    assert site.find("artifacts", {"artifacts": {"key": {"any_": ["smoke-zero-progress"]}}}) == [], "it was there"


@pytest.mark.parametrize(("flow", "deployment"), [("nightly", "nightly"), ("stage", "dev1")])
def test_forms_help_with_every_field(site: Site, flow: str, deployment: str) -> None:
    (found,) = site.find("deployments", {"deployments": {"name": {"any_": [deployment]}}})
    text = site.open(f"/deployments/deployment/{found['id']}/run", "Parameters", f"form-{flow}")
    fields = found["parameter_openapi_schema"]["properties"]
    assert len(fields) >= 3
    for name, schema in fields.items():
        assert name in text
        assert schema["description"] in text


def test_the_pages_ask_nobody_else(site: Site) -> None:
    site.open("/artifacts", "smoke-run", "artifacts")
    assert len(site.asked) > 20
    assert [r.url for r in site.asked if not re.match(r"(http://127\.0\.0\.1:|data:|blob:)", r.url)] == []
    assert [r.url for r in site.failed if "127.0.0.1" not in r.url] == []
