"""The GPU side: training mains started as processes, and what vLLM loads. Nothing else imports torch or vLLM.

On a machine without NVIDIA's driver, one thread a process and no compiler are set here, since torch reads both when it
is imported; values given by the caller win. Telemetry is switched off likewise.
"""

import os
from pathlib import Path

from r1data.telemetry import switch_off

switch_off()
if not Path("/proc/driver/nvidia").exists():
    for _name, _value in {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "DS_ACCELERATOR": "cpu"}.items():
        os.environ.setdefault(_name, _value)
