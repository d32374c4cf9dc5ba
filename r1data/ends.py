"""The ends that lineage lacks: of attempts whose process was killed, and of commits whose event the store refused.

While an attempt goes on it has a note in the lake (`attempts/ID.json`). Of one that outlived it, what was committed
gets its COMPLETE, the same event under the same name as it would have been, and all else an ABORT.
"""

from collections.abc import Callable

from pydantic import ValidationError

from r1data.events import ATTEMPTS, RUN, Note, committed_by, note_file, write_abort, write_complete
from r1data.lease import gone
from r1data.storage import Lake


def died_here(note: Note) -> bool:
    """Whether the attempt's process was on this machine and is gone; of other machines' nothing is known."""
    return gone(note.process)


def write_ends(lake: Lake, dead: Callable[[Note], bool] = died_here, report: Callable[[str], None] = print) -> int:
    """Write what is missing of attempts that are committed or, as `dead` says, over; how many. One listing if none is.

    Safe beside runs that go on: who comes second writes the same COMPLETE, and what lives is not `dead`.
    """
    found = 0
    for name in lake.names(ATTEMPTS):
        if (data := lake.get(name)) is None:
            continue  # it has ended meanwhile
        try:
            note = Note.model_validate_json(data)
        except ValidationError:
            report(f"{lake.uri(name)}: not the note of an attempt, passed over")
            continue
        if manifest := committed_by(lake, note.folder, note.run.id):
            token = RUN.set(note.run)
            try:
                write_complete(lake, manifest)
            finally:
                RUN.reset(token)
            report(f"{note.run.job}: committed, and its lineage event was lost: COMPLETE of run {note.run.id} written")
        elif dead(note):
            write_abort(lake, note, "its process was killed, or its machine is gone")
            report(f"{note.run.job}: its process is gone: ABORT of run {note.run.id} written")
        else:
            continue
        lake.delete(note_file(note.run.id))
        found += 1
    return found
