"""What the files that a recipe names were when a run began: a pin enters the cache key, so that a changed file is read
again and an unchanged one is not. What is missing, unreachable or refused has no pin; the step that needs it says so.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from r1data.digest import digest_json
from r1data.errors import LakeError, StorageError
from r1data.recipe import ColdStartParams, MixParams, ModelSource, Recipe
from r1data.storage import Lake, storage_errors

AT_ONCE = 8


def pinned(recipe: Recipe) -> Recipe:
    """The recipe with the files and model folders it names pinned by name, size and time (or the store's ETag)."""
    listed = pins([*(s.url for s in recipe.sources if s.url), *(s.url for s in recipe.non_reasoning)])
    sources = tuple(s.model_copy(update={"pin": listed[s.url]}) if s.url else s for s in recipe.sources)
    imports = tuple(s.model_copy(update={"pin": listed[s.url]}) for s in recipe.non_reasoning)
    models = {"base": _model(recipe.base), "student": _model(recipe.student)}
    parts = {"cold_start": _cold_start(recipe.cold_start), "sft_mix": _mix(recipe.sft_mix)}
    return recipe.model_copy(update={"sources": sources, "non_reasoning": imports, **parts, **models})


def _cold_start(part: ColdStartParams) -> ColdStartParams:
    if part.human is None:
        return part
    return part.model_copy(update={"human": part.human.model_copy(update={"pin": pin(part.human.url)})})


def _mix(part: MixParams) -> MixParams:
    mixture = part.mixture
    if mixture is None or mixture.tokenizer is None:
        return part
    return part.model_copy(update={"mixture": mixture.model_copy(update={"tokenizer_pin": pin(mixture.tokenizer)})})


def _model(source: ModelSource) -> ModelSource:
    return source.model_copy(update={"pin": pin(source.path)}) if source.path else source


def pins(urls: Iterable[str]) -> dict[str, str]:
    """The pin of every URL; several stores are asked at a time, since one alone may take a second to answer."""
    different = list(dict.fromkeys(urls))
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="pin") as pool:
        return dict(zip(different, pool.map(pin, different), strict=True))


def pin(url: str) -> str:
    """A digest of a file's, or of every file's below a folder; empty where there is none, and for hf:// URLs.

    Those name a revision, or else are taken to be what they were.
    """
    if url.startswith("hf://"):
        return ""
    try:
        store = Lake.open(url)
        with storage_errors(store, ""):
            files = store.fs.find(store.root, detail=True)
    except (LakeError, StorageError, ValueError):
        return ""  # missing, unreachable or refused: reading it will say why
    facts = [
        [n.removeprefix(store.root), i["size"], str(i.get("ETag") or i.get("mtime"))] for n, i in sorted(files.items())
    ]
    return digest_json(facts)[:16] if facts else ""
