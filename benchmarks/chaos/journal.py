"""What a chaos campaign has done so far, an event a line: a stopped driver goes on from it, tables come from it."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Event = dict[str, Any]
BEGIN, END = "<!-- counts: written by the command above -->", "<!-- end of counts -->"


@dataclass
class Journal:
    """`folder/events.jsonl`, whole lines only: a torn last one, of a driver that was killed, is cut off."""

    folder: Path
    events: list[Event] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Read what is there."""
        if self.file.exists():
            whole = self.file.read_bytes().rpartition(b"\n")[0]
            self.events = [json.loads(line) for line in whole.splitlines()]
            self.file.write_bytes(whole + b"\n" if whole else b"")

    @property
    def file(self) -> Path:
        """Where the events are."""
        return self.folder / "events.jsonl"

    def add(self, event: str, **about: Any) -> Event:
        """Append an event; it is on disk when this returns."""
        found = {"event": event, "at": round(time.time(), 1), **about}
        with self._lock:
            self.events.append(found)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
        return found

    def of(self, *events: str, **about: Any) -> list[Event]:
        """The events of these kinds whose fields have these values."""
        wanted = about.items()
        return [e for e in list(self.events) if e["event"] in events and all(e.get(k) == v for k, v in wanted)]

    def run(self) -> tuple[int, bool]:
        """Number of the run to work on, and whether it was begun and not ended."""
        begun, ended = len(self.of("run")), len(self.of("end"))
        return (begun, True) if begun > ended else (begun + 1, False)


def report(journals: Sequence[Journal]) -> str:
    """Markdown tables of one or several campaigns."""
    parts = [_runs(journals)]
    for journal in journals:
        title = _engine(journal)
        parts += [f"### Kills: {title}", _kills(journal)]
        if journal.of("fault"):
            parts += [f"### Storage faults: {title}", _faults(journal)]
    told = [e for j in journals for e in j.of("violation")]
    parts.append("\n".join(f"- **violation** {e['what']}" for e in told) or "No violation was found.")
    return "\n\n".join(parts) + "\n"


def write_report(journals: Sequence[Journal], page: Path) -> None:
    """Put the tables between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    assert END in rest, f"{page}: needs the lines {BEGIN} and {END}"
    page.write_text(f"{head}{BEGIN}\n{report(journals)}{END}{tail}", encoding="utf-8")


def _engine(journal: Journal) -> str:
    told = journal.of("campaign")[0]
    name = {"fake": "fake engine", "vllm": "real vLLM"}[told["engine"]]
    # those before there was a choice had the server's
    return (
        name
        + {"server": "", "in_process": ", vLLM in the ranks", "hf": ", HF rollouts"}[told.get("rollouts", "server")]
    )


def _runs(journals: Sequence[Journal]) -> str:
    columns = [_engine(j) for j in journals]
    rows: dict[str, list[str]] = {}
    for journal in journals:
        checks: Counter[str] = Counter()
        for e in journal.of("checked"):
            checks.update({k: v for k, v in e.items() if k in ("refs", "manifests", "files")})
        reruns, ended = journal.of("rerun"), journal.of("end")
        told = {
            "kills": len(journal.of("kill")),
            "storage faults injected": len(journal.of("fault")),
            "runs of all stages, from an empty lake": sum(not e.get("stage") for e in journal.of("run")),
            "runs of one stage, on what it needs": sum(bool(e.get("stage")) for e in journal.of("run")),
            "runs that ended with all refs equal to an undisturbed run's": sum(e["equal"] for e in ended),
            "runs that ended otherwise": sum(not e["equal"] for e in ended),
            "runs that had not ended when the driver was stopped": len(journal.of("run")) - len(ended),
            "crashed attempts that the reaper started again": len(journal.of("reaped")),
            "attempts started by hand, after a failure": sum(e["why"] != "stopped" for e in reruns),
            "stops of the driver itself": sum(e["why"] == "stopped" for e in reruns),
            "checks of the whole lake": len(journal.of("checked")),
            "refs resolved in them": checks["refs"],
            "manifests read": checks["manifests"],
            "files compared with their SHA-256": checks["files"],
            "looks of the reader while runs went on": sum(e["looks"] for e in journal.of("checked")),
            "violations": len(journal.of("violation")),
            "minutes": round(sum(e["seconds"] for e in journal.of("session")) / 60),
        }
        for name, value in told.items():
            rows.setdefault(name, []).append(f"{value:,}")
    return _table(["", *columns], [[name, *values] for name, values in rows.items()])


def _kills(journal: Journal) -> str:
    kills = journal.of("kill")
    after = {e["number"]: e["how"] for e in journal.of("outcome")}
    hows = ["went on", "reaper", "by hand", "run was over"]
    rows = []
    for kind in sorted({e["victim"] for e in kills}):
        found = Counter(after.get(e["number"], "run was over") for e in kills if e["victim"] == kind)
        rows.append([kind, str(found.total()), *(str(found[how]) for how in hows)])
    whole = Counter(after.get(e["number"], "run was over") for e in kills)
    rows.append(["all", str(len(kills)), *(str(whole[how]) for how in hows)])
    head = ["killed", "kills", "the attempt went on", "rerun by the reaper", "rerun by hand", "driver stopped"]
    return _table(head, rows)


def _faults(journal: Journal) -> str:
    faults = journal.of("fault")
    outcomes = sorted({e["outcome"] for e in faults})
    rows = []
    for kind in sorted({e["what"] for e in faults}):
        found = Counter(e["outcome"] for e in faults if e["what"] == kind)
        rows.append([kind, str(found.total()), *(str(found[o]) for o in outcomes)])
    total = Counter(e["outcome"] for e in faults)
    rows.append(["all", str(len(faults)), *(str(total[o]) for o in outcomes)])
    return _table(["fault", "injected", *outcomes], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
