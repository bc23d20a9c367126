#!/usr/bin/env bash
# ./train.sh DATA [--smoke]: trains every fold's team on the labelled scenes of DATA. Killed and run again, it goes on where it was.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if (($# == 0)) || [[ $1 == -* ]] || { (($# > 1)) && [[ "${*:2}" != --smoke ]]; }; then
  echo "usage: ./train.sh DATA [--smoke]; DATA holds AA_optical_NAME.tif, AA_sar_NAME.tif and AA_tiepoints_NAME.csv" >&2
  exit 2
fi
data=$1 folds=$root/folds simulated=$root/runs/simulated smoke=() fast=() scenes=(--scenes 32 --size 1600 1600)
if [[ ${2:-} == --smoke ]]; then # never in the place of real weights
  folds=$root/runs/smoke simulated=$root/runs/smoke_simulated smoke=(--smoke) fast=(--finest 8) scenes=(--scenes 2 --size 256 256)
fi
"$root/solution/setup.sh"
set -a; . "$root/solution/environment"; set +a # -a: exported, so that the commands below get them
export PYTHONPATH=$root
run() { echo "== $*" && "$root/.venv/bin/python" -P -m solution "$@"; }

run data "$data"
run split "$data" --output "$folds/split.csv"
run simulate "$simulated" "${scenes[@]}" --seed 1000
run train-coarse "$data" --simulated "$simulated" --folds "$folds" --replace "${smoke[@]}"
run train-flow "$data" --simulated "$simulated" --folds "$folds" --replace "${smoke[@]}"
run train-translator "$data" --simulated "$simulated" --folds "$folds" --replace "${smoke[@]}"
run train-matcher "$data" --simulated "$simulated" --folds "$folds" --replace "${smoke[@]}"
run propose "$data" --folds "$folds" "${fast[@]}"
((${#smoke[@]})) || run train-reranker "$data" --folds "$folds" # a smoke run's few matches teach it nothing
run score-folds "$data" --folds "$folds"
