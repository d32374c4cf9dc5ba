"""Prefect flows of the recipe. Nothing else imports Prefect; `python -m flows demo` runs one."""
