#!/usr/bin/env bash
# ./train.sh DATA [--smoke]: trains every fold's team on the labelled scenes of DATA. Killed and run again, it goes on where it was.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if (($# == 0)); then
  echo "usage: ./train.sh DATA [--smoke]; DATA holds AA_optical_NAME.tif, AA_sar_NAME.tif and AA_tiepoints_NAME.csv" >&2
  exit 2
fi
data=$1
shift
"$root/solution/setup.sh"
export NO_ALBUMENTATIONS_UPDATE=1 PYTHONPATH=$root
run() { echo "== $*" && "$root/.venv/bin/python" -P -m solution "$@"; }

run data "$data"
run split "$data"
run train flow "$data" "$@"
run propose "$data" "$@"
run score-folds "$data"
