"""The recipe as a graph: one module a stage, each a list of nodes; `graph(recipe)` is all of them in order."""

from r1data.stages.order import STAGES, graph, needs_of_nodes, needs_of_stages, node_named

__all__ = ["STAGES", "graph", "needs_of_nodes", "needs_of_stages", "node_named"]
