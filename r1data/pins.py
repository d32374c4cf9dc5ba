"""What the files that a recipe names were when a run began: a pin enters the cache key, so that a changed file is read
again and an unchanged one is not. A missing file has no pin; the step that needs it says so.
"""

import fsspec

from r1data.digest import digest_json
from r1data.recipe import ModelSource, Recipe


def pinned(recipe: Recipe) -> Recipe:
    """The recipe with its source files and model folders pinned by name, size and time (or the store's ETag)."""
    sources = tuple(s.model_copy(update={"pin": pin(s.url)}) if s.url else s for s in recipe.sources)
    models = {"base": _model(recipe.base), "student": _model(recipe.student)}
    return recipe.model_copy(update={"sources": sources, **models})


def _model(source: ModelSource) -> ModelSource:
    return source.model_copy(update={"pin": pin(source.path)}) if source.path else source


def pin(url: str) -> str:
    """A digest of a file's, or of every file's below a folder; empty where there is none."""
    fs, path = fsspec.core.url_to_fs(url)
    try:
        files = fs.find(path, detail=True)
    except (OSError, ValueError):
        return ""  # unreachable or refused: reading it will say why
    facts = [[n.removeprefix(path), i["size"], str(i.get("ETag") or i.get("mtime"))] for n, i in sorted(files.items())]
    return digest_json(facts)[:16] if facts else ""
