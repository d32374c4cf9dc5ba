"""What becomes of the candidates below a prefix: which pass the gates, and how hard their problems were."""

from r1data.gate_params import GateParams
from r1data.outcomes.difficulty import DIFFICULTY, DifficultyParams
from r1data.sampling_params import SamplingParams
from r1data.stages.sampling import judged
from r1data.step import Node
from r1data.steps.gates import GATE, DropsParams


def gated(prefix: str, stage: str, gate: GateParams, sampling: SamplingParams | None = None) -> Node:
    """drops of the candidates below a prefix; `sampling`: how they were drawn from a checkpoint of the recipe."""
    aside = sampling is not None and sampling.truncated == "keep"
    return Node(f"{prefix}/drops", stage, GATE, DropsParams(**gate.model_dump(), length_study=aside), judged(prefix))


def difficulty(prefix: str, stage: str, gate: GateParams, sampling: SamplingParams) -> Node:
    """difficulty of the problems below a prefix, which were sampled until enough candidates passed the gate."""
    params = DifficultyParams(sampling=sampling, gate=gate)
    return Node(f"{prefix}/difficulty", stage, DIFFICULTY, params, judged(prefix))
