"""What the recipe starts from: problems, and the base and student models."""

from r1data.data_params import WHERE_SERVED
from r1data.recipe import Recipe
from r1data.stages.cleaning import decontaminated
from r1data.stages.training import base
from r1data.step import Node
from r1data.steps.corpus import CORPUS, CorpusParams
from r1data.steps.problems import PROBLEM_DROPS, PROBLEMS, ProblemsParams
from r1data.verify.written_tests import TEST_DROPS, WITH_TESTS, WRITE_TESTS, WrittenTestsParams


def nodes(recipe: Recipe) -> list[Node]:
    """problems, the demo corpus (where a model is pre-trained here), base and student."""
    sources = ProblemsParams(sources=recipe.sources)
    found = [
        *_problems(recipe, sources),
        Node("problems/drops", "foundations", PROBLEM_DROPS, sources),
    ]
    models = {"base": recipe.base, "student_base": recipe.student}
    if any(source.pretrain for name, source in models.items() if name not in recipe.keep):
        params = CorpusParams(documents=recipe.corpus_documents, seed=recipe.seed, template=recipe.chat_template)
        found.append(Node("corpus", "foundations", CORPUS, params, {"problems": "problems"}))
    return [*found, base(recipe, "base", recipe.base), base(recipe, "student_base", recipe.student)]


def _problems(recipe: Recipe, sources: ProblemsParams) -> list[Node]:
    """The problems as the sources have them, less the contaminated; where there is a writer of tests, with its tests.

    Each of the two only if the recipe asks for it: the last node is `problems` whatever comes before it.
    """
    clean, writer = recipe.decontamination is not None, recipe.test_writer is not None
    chain = ["problems/given"] * (clean or writer) + ["problems/decontaminated"] * (clean and writer) + ["problems"]
    found = [Node(chain[0], "foundations", PROBLEMS, sources)]
    if clean:
        found += decontaminated(recipe, chain[0], chain[1])
    return found + (_tested(recipe, chain[-2]) if writer else [])


def _tested(recipe: Recipe, given: str) -> list[Node]:
    """The problems of node `given` with those of the written tests that hold."""
    assert recipe.test_writer is not None, "asked for only with a writer"
    params = WrittenTestsParams(**recipe.test_writer.model_dump(exclude=WHERE_SERVED))
    about = {"problems": given}
    tested = {**about, "generators": "problems/generators"}
    return [
        Node("problems/generators", "foundations", WRITE_TESTS, params, about),
        Node("problems", "foundations", WITH_TESTS, params, tested),
        Node("problems/test_drops", "foundations", TEST_DROPS, params, tested),
    ]
