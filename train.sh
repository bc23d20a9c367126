#!/usr/bin/env bash
# ./train.sh DATA [OPTIONS]: trains every fold's team on the labelled scenes of DATA. Killed and run again, it goes on where it was.
#   --smoke          minutes instead of hours, into runs/smoke
#   --folds DIR      where the teams go instead of folds/; they start from DIR/base where there is one
#   --simulated DIR  where the simulated scenes go instead of runs/simulated
#   --scenes N       so many of them instead of 32
#   --steps N        so many optimisation steps a team and model instead of the configured ones
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage() {
  echo "usage: ./train.sh DATA [--smoke] [--folds DIR] [--simulated DIR] [--scenes N] [--steps N];" \
    "DATA holds AA_optical_NAME.tif, AA_sar_NAME.tif and AA_tiepoints_NAME.csv" >&2
  exit 2
}
(($#)) && [[ $1 != -* ]] || usage
data=$1 folds=$root/folds simulated=$root/runs/simulated smoke=() fast=() steps=() scenes=(--scenes 32 --size 1600 1600)
while shift && (($#)); do
  if [[ $1 == --smoke ]]; then # never in the place of real weights
    folds=$root/runs/smoke simulated=$root/runs/smoke_simulated smoke=(--smoke) fast=(--finest 8) scenes=(--scenes 2 --size 256 256)
    continue
  fi
  (($# > 1)) || usage
  case $1 in
    --folds) folds=$2 ;;
    --simulated) simulated=$2 ;;
    --scenes) scenes[1]=$2 ;;
    --steps) steps=(--steps "$2") ;;
    *) usage ;;
  esac
  shift
done
"$root/solution/setup.sh"
set -a; . "$root/solution/environment"; set +a # -a: exported, so that the commands below get them
export PYTHONPATH=$root
run() { echo "== $*" && "$root/.venv/bin/python" -P -m solution "$@"; }
train() { run "train-$1" "$data" --simulated "$simulated" --folds "$folds" --replace "${smoke[@]}" "${steps[@]}"; }

run data "$data"
run split "$data" --output "$folds/split.csv"
run simulate "$simulated" "${scenes[@]}" --seed 1000
train coarse
train flow
train translator
train matcher
run propose "$data" --folds "$folds" "${fast[@]}"
((${#smoke[@]})) || run train-reranker "$data" --folds "$folds" # a smoke run's few matches teach it nothing
run score-folds "$data" --folds "$folds"
