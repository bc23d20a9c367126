#!/usr/bin/env bash
# ./test.sh DATA OUTPUT [OPTIONS]: offset maps of every test pair of DATA. OUTPUT is a folder, or, where it ends in .zip, the
# submission, with the maps in a folder beside it. OPTIONS are those of predict. A weak map is in the submission all the same.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if (($# < 2)) || [[ $1 == -* || $2 == -* ]]; then
  echo "usage: ./test.sh DATA OUTPUT [OPTIONS]; DATA holds AA_optical_NAME.tif and AA_sar_NAME.tif, OUTPUT is a folder or NAME.zip" >&2
  exit 2
fi
data=$1 output=$2 maps=${2%.zip}
code=0
"$root/predict.sh" "$data" --out "$maps" "${@:3}" || code=$?
case $code in 0 | 3 | 4) ;; *) exit "$code" ;; esac # 3 and 4 are verdicts
if [[ $output == *.zip ]]; then
  cp "$maps/submission.zip" "$output.partial"
  mv "$output.partial" "$output"
fi
