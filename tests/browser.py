"""Pages in the system's Chromium, as people see them: on a phone and a desk, light and dark, without a network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MARKS = [pytest.mark.browser, pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")]
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
SIZES = {"phone": (390, 844), "desk": (1440, 900)}
WAIT_MS = 120_000
Scheme = Literal["light", "dark"]

# Every text that is seen and has less contrast with what is behind it than asked for: [ratio, text].
FAINT = """least => {
  const parts = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3]));
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b };
  const behind = e => { const all = [];
    for (; e; e = e.parentElement) all.push(parts(getComputedStyle(e).backgroundColor));
    return all.reverse().reduce((under, c) => over(c, under), [255, 255, 255]) };
  const faint = [];
  for (const e of document.body.querySelectorAll('*')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
    if (['SCRIPT', 'STYLE', 'OPTION', 'title'].includes(e.tagName)) continue;
    const style = getComputedStyle(e), under = behind(e);
    const ink = over(parts(e.ownerSVGElement ? style.fill : style.color), under);
    const [a, b] = [light(ink), light(under)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    if (ratio < least) faint.push([ratio, e.textContent.trim().slice(0, 60)]);
  }
  return faint }"""


@dataclass
class Seen:
    """An open page, and what it did that it should not: requests that left, complaints on the console."""

    page: "Page"
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def js(self, script: str, argument: object = None) -> Any:
        """What a script says of the page."""
        return self.page.evaluate(script, argument)

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        return int(self.js("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def refuse(self, route: "Route") -> None:
        """Let files be read, and note everything else."""
        if route.request.url.startswith(("file:", "data:", "blob:")):
            route.continue_()
        else:
            self.asked.append(route.request.url)
            route.abort()


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), timeout=WAIT_MS)
        yield browser
        browser.close()


@contextmanager
def seen(browser: "Browser", file: Path, size: str = "desk", scheme: Scheme = "light") -> Iterator[Seen]:
    """A page of a file on a screen of a size, in a scheme."""
    wide, high = SIZES[size]
    context = browser.new_context(viewport={"width": wide, "height": high}, color_scheme=scheme)
    context.set_default_timeout(WAIT_MS)
    found = Seen(context.new_page())
    found.page.on("console", lambda m: found.complaints.append(m.text) if m.type in ("error", "warning") else None)
    found.page.on("pageerror", lambda e: found.complaints.append(str(e)))
    context.route("**/*", found.refuse)
    found.page.goto(file.as_uri())
    yield found
    context.close()
