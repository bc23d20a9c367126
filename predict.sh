#!/usr/bin/env bash
# ./predict.sh                      the embedded default: a small sample, its maps, its score
# ./predict.sh DATA_DIR             every test pair of a folder, and the submission
# ./predict.sh OPTICAL SAR OUTPUT   one pair
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$root/solution/setup.sh"
set -a; . "$root/solution/environment"; set +a # -a: exported, so that the commands below get them
export PYTHONPATH=$root
exec "$root/.venv/bin/python" -P -m solution predict "$@"
