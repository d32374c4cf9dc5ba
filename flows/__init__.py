"""Prefect flows of the recipe. Nothing else imports Prefect; `python -m flows demo` runs one.

Telemetry is switched off here, since Prefect asks when it is imported, be it by a worker.
"""

from r1data.telemetry import switch_off

switch_off()
