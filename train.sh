#!/usr/bin/env bash
# ./train.sh DATA [OPTIONS]: trains every fold's team on the labelled scenes of DATA. Killed and run again, it goes on where it was.
#   --smoke          minutes instead of hours, into runs/smoke
#   --folds DIR      where the teams go instead of folds/; they start from DIR/base where there is one
#   --from FOLDS     a new sensor: three teams that start from the trained ones of FOLDS (folds = the shipped ones), in minutes
#   --teams N        so many teams at most, instead of five (three with --from)
#   --simulated DIR, --scenes N   where simulated scenes go instead of runs/simulated, and how many instead of 32 (8 small ones with --from)
#   --stages LIST    only these models, such as coarse,flow: all that predict uses unless it is asked for more
#   --steps N        so many optimisation steps a team and model instead of the configured ones; --device cuda: on GPUs
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
usage() {
  echo "usage: ./train.sh DATA [--smoke] [--folds DIR] [--from FOLDS] [--teams N] [--simulated DIR] [--scenes N] [--stages LIST] [--steps N] [--device D];" \
    "DATA holds AA_optical_NAME.tif, AA_sar_NAME.tif and AA_tiepoints_NAME.csv; --from wants --folds" >&2
  exit 2
}
(($#)) && [[ $1 != -* ]] || usage
data=$1 folds='' from=() teams=() simulated='' count='' size=(1600 1600) device=() steps=() smoke=() fast=() stages=()
while shift && (($#)); do
  [[ $1 == --smoke ]] || (($# > 1)) || usage
  case $1 in
    --smoke) smoke=(--smoke) fast=(--finest 8) && continue ;;
    --folds) folds=$2 ;;
    --from) from=(--from "$2") size=(800 800) ;;
    --teams) teams=(--teams "$2") ;;
    --simulated) simulated=$2 ;;
    --scenes) count=$2 ;;
    --stages) IFS=, read -ra stages <<<"$2" ;;
    --device) device=(--device "$2") ;;
    --steps) steps=(--steps "$2") ;;
    *) usage ;;
  esac
  shift
done
if ((${#from[@]})); then
  [[ -n $folds ]] || usage # never in the place of what it starts from
  ((${#teams[@]})) || teams=(--teams 3)
  ((${#stages[@]})) || stages=(coarse flow)
  : "${count:=8}" "${simulated:=$root/runs/simulated_small}"
fi
if ((${#smoke[@]})); then # never in the place of real weights
  size=(256 256)
  : "${count:=2}" "${folds:=$root/runs/smoke}" "${simulated:=$root/runs/smoke_simulated}"
fi
: "${count:=32}" "${folds:=$root/folds}" "${simulated:=$root/runs/simulated}"
((${#stages[@]})) || stages=(coarse flow translator matcher)
"$root/solution/setup.sh"
set -a; . "$root/solution/environment"; PYTHONPATH=$root; set +a # -a: exported, so that the commands below get them
run() { echo "== $*" && "$root/.venv/bin/python" -P -m solution "$@"; }
how=(--folds "$folds" "${from[@]}" "${steps[@]}" "${smoke[@]}")

run data "$data"
run split "$data" --output "$folds/split.csv" "${teams[@]}"
run train-plan "$data" "${how[@]}" --scenes "$count" --size "${size[@]}" "${stages[@]/#/--stage=}"
run simulate "$simulated" --scenes "$count" --size "${size[@]}" --seed 1000
for stage in "${stages[@]}"; do run "train-$stage" "$data" --simulated "$simulated" "${how[@]}" "${device[@]}" --replace; done
run propose "$data" --folds "$folds" "${fast[@]}" "${device[@]}"
((${#smoke[@]} + ${#from[@]})) || run train-reranker "$data" --folds "$folds" # few matches teach it nothing
run score-folds "$data" --folds "$folds"
