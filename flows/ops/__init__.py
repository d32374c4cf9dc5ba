"""Operating the flows: `python -m flows.ops up|down|deploy|reap`, as `make up` and the others call it."""
