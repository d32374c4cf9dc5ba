"""Checkpoints that a recipe keeps by reference instead of training them: `[keep] zero = "@current/demo/zero"`.

A kept node is what the ref has when a run or plan begins; from then on its content digest counts. So new problems go
through sampling, gates and mixtures without a new policy: only their candidates are asked for.
"""

import json
from collections.abc import Iterable, Mapping

from r1data.errors import CorruptShard, LakeError, RecipeError
from r1data.manifest import Manifest
from r1data.refs import target
from r1data.step import Node
from r1data.storage import Lake

STUDENT = ("student_base", "distill", "student_rl")
REWARD_MODEL = "reward_model"
CONFIG = "config.json"


def kept_checkpoints(lake: Lake, nodes: Iterable[Node]) -> dict[str, Manifest]:
    """What the kept ones of a recipe's nodes stand for, by node.

    Raises `LakeError` where a ref is missing, `RecipeError` where it is no checkpoint of the node's kind (a policy or a
    reward model), or where two of one family have vocabularies of different sizes: they are not of one base. (Their
    tokenizers are written anew at every training, and differ in bytes alone.)
    """
    chosen = [node for node in nodes if node.kept]
    found = {node.name: _kept(lake, node) for node in chosen}
    for student in (True, False):
        family = {name: manifest for name, manifest in found.items() if (name in STUDENT) is student}
        _refuse_strangers(lake, family, {node.name: node.kept for node in chosen})
    return found


def kept_labels(found: Mapping[str, Manifest], nodes: Iterable[Node]) -> dict[str, str]:
    """Which ref and digest stood for which node, as the labels of every manifest that the run commits."""
    return {f"kept {n.name}": f"{n.kept.partition('@')[0]}@{found[n.name].digest}" for n in nodes if n.name in found}


def _kept(lake: Lake, node: Node) -> Manifest:
    where = f"[keep] {node.name} = {'@' + node.kept!r}"
    try:
        found = target(lake, node.kept)
    except LakeError as e:
        raise type(e)(f"{where}: {e.args[0]}", e.remedy) from e
    if found.kind != "checkpoint":
        raise RecipeError(f"{where}: that is a dataset ({found.name})", "name the ref of a checkpoint; see `r1 status`")
    if (found.step == REWARD_MODEL) is not (node.step.name == REWARD_MODEL):
        wanted = "a reward model" if node.step.name == REWARD_MODEL else "a policy"
        raise RecipeError(f"{where}: {found.name} was made by {found.step}, not {wanted}", "name another checkpoint")
    return found


def _refuse_strangers(lake: Lake, family: Mapping[str, Manifest], refs: Mapping[str, str]) -> None:
    first: tuple[str, int] | None = None
    for name, manifest in family.items():
        words = _vocabulary(lake, manifest)
        if words is None:
            continue
        first = first or (name, words)
        if words != first[1]:
            one, other = (f"{n} (@{refs[n]}) has {size} tokens" for n, size in ((name, words), first))
            remedy = "keep checkpoints of one base; `r1 lineage show REF` says which a ref has"
            raise RecipeError(f"[keep]: {one}, {other}: not of one base", remedy)


def _vocabulary(lake: Lake, manifest: Manifest) -> int | None:
    """How many tokens the checkpoint's config says; None where it says nothing."""
    file = next((f.path for f in manifest.files if f.path.endswith(f"/{CONFIG}")), None)
    if file is None:
        return None
    try:
        found = json.loads(lake.read(file)).get("vocab_size")
    except (ValueError, AttributeError) as e:
        raise CorruptShard(f"{lake.uri(file)}: not a model's config: {e}", "restore it from a copy") from e
    return found if isinstance(found, int) else None
