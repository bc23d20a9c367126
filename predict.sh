#!/usr/bin/env bash
# ./predict.sh                      the embedded default: a small sample, its maps, its score
# ./predict.sh DATA_DIR             every test pair of a folder, and the submission
# ./predict.sh OPTICAL SAR OUTPUT   one pair
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$root/solution/setup.sh"
export NO_ALBUMENTATIONS_UPDATE=1 PYTHONPATH=$root
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1 # glibc: keep freed pages; giving them back and forth costs a third of the time
exec "$root/.venv/bin/python" -P -m solution predict "$@"
