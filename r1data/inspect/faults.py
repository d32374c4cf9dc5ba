"""What is missing or differs in what refs point to: one dataset in memory at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

from r1data.errors import LakeError
from r1data.manifest import Manifest, corrupt_files, is_committed
from r1data.refs import list_refs, resolve
from r1data.storage import Lake


@dataclass
class Looked:
    """At how many datasets and checkpoints, and files of them."""

    manifests: int = 0
    files: int = 0


def faults(lake: Lake, looked: Looked) -> Iterator[str]:
    """A line for each: a ref without a manifest, a file that is missing or differs, a parent without a manifest.

    `looked` is counted on. A directory is looked at once, whatever points to it.
    """
    seen: set[str] = set()
    there: dict[str, bool] = {}
    for ref in list_refs(lake):
        try:
            manifest = resolve(lake, ref)
        except LakeError as e:
            yield f"{ref}: {e.args[0]}"
            continue
        if manifest.path in seen:
            continue
        seen.add(manifest.path)
        looked.manifests += 1
        looked.files += len(manifest.entries)
        yield from (f"{ref}: missing or different: {lake.uri(name)}" for name in corrupt_files(lake, manifest))
        yield from (f"{ref}: {told}" for told in _lost_parents(lake, manifest, there))


def _lost_parents(lake: Lake, manifest: Manifest, there: dict[str, bool]) -> Iterator[str]:
    for parent in manifest.parents:
        if parent.path not in there:
            try:
                there[parent.path] = is_committed(lake, parent.path)
            except LakeError:  # torn
                there[parent.path] = False
        if not there[parent.path]:
            yield f"no manifest of its parent {parent.name}: {lake.uri(parent.path)}"
