#!/usr/bin/env bash
# ./solution/tests/run_terratorch.sh   the tests of TerraTorch's backbones, in an environment of their own on top of .venv
# Its environment lies in .venv/terratorch (about 320 MB and two minutes the first time). Arguments go to pytest.
# Ends with code 69 where TerraTorch cannot be installed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
"$root/solution/setup.sh"
cd "$root"
own=.venv/terratorch
stamp=$own/.stamp # what is installed; written last

wanted() { cat requirements.txt requirements-terratorch.txt | .venv/bin/python -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())'; }

if [[ ! -e $stamp || $(cat "$stamp") != "$(wanted)" ]]; then
  rm -rf "$own"
  .venv/bin/python -m venv "$own"
  # What .venv has is seen through, and need not be installed again; this file makes Python look there
  .venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$("$own/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/product.pth"
  "$own/bin/python" -m pip install --disable-pip-version-check --requirement requirements-terratorch.txt || {
    echo "TerraTorch could not be installed: its backbones are not tested" >&2
    exit 69
  }
  wanted >"$stamp"
fi
export HF_HUB_OFFLINE=1
exec "$own/bin/python" -m pytest --durations=5 solution/tests/proposers/encoder/test_terratorch.py "$@"
