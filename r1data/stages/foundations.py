"""What the recipe starts from: problems, and the base and student models."""

from r1data.recipe import Recipe
from r1data.stages.training import base
from r1data.step import Node
from r1data.steps.corpus import CORPUS, CorpusParams
from r1data.steps.problems import PROBLEM_DROPS, PROBLEMS, ProblemsParams


def nodes(recipe: Recipe) -> list[Node]:
    """problems, the demo corpus (where a model is pre-trained here), base and student."""
    sources = ProblemsParams(sources=recipe.sources)
    found = [
        Node("problems", "foundations", PROBLEMS, sources),
        Node("problems/drops", "foundations", PROBLEM_DROPS, sources),
    ]
    if recipe.base.pretrain or recipe.student.pretrain:
        params = CorpusParams(documents=recipe.corpus_documents, seed=recipe.seed, template=recipe.chat_template)
        found.append(Node("corpus", "foundations", CORPUS, params, {"problems": "problems"}))
    return [*found, base(recipe, "base", recipe.base), base(recipe, "student_base", recipe.student)]
