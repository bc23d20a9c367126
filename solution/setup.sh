#!/usr/bin/env bash
# Makes .venv from the pinned requirements.txt where it is missing or stale; does nothing where it is up to date.
# PYTHON=/path/to/python chooses the interpreter. SN9_SET_UP=done says that .venv is ready, as it is in a Docker image.
set -euo pipefail
[[ ${SN9_SET_UP:-} != done ]] || exit 0

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
stamp=$venv/.stamp           # what is installed; written last
unfinished=$venv/.unfinished # there while pip runs

# Two set-ups at once would install into each other; the second one waits. The lock ends with this process.
exec 9<"$root/requirements.txt"
if command -v flock >/dev/null && ! flock -n 9; then
  echo "set-up: another one is running, waiting for it"
  flock 9
fi

usable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3; do
    if usable "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  echo "error: no Python >= 3.11 with the venv module found; install one (Debian, Ubuntu: apt install python3 python3-venv)" \
    "or run again with PYTHON=/path/to/python3.11" >&2
  exit 2
}

wanted() {
  "$venv/bin/python" -c 'import hashlib, platform, sys; print(platform.python_version(), hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' \
    "$root/requirements.txt"
}

# With the uv that requirements.txt names it takes less than half of the time. uv does not read pip's settings: where they name
# an index, and where uv fails, pip does it.
install() {
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check) uv
  uv=$(grep '^uv==' "$root/requirements.txt") || uv=
  if [[ -n $uv ]] && ! "${pip[@]}" config list | grep -q '[.]index-url=' && "${pip[@]}" install --quiet "$uv"; then
    "$venv/bin/uv" pip install --compile-bytecode --python "$venv/bin/python" --requirement "$root/requirements.txt" && return
    echo "set-up: uv could not do it, trying with pip"
  fi
  "${pip[@]}" install --requirement "$root/requirements.txt"
}

if [[ -e $unfinished ]]; then
  echo "set-up: the last installation was interrupted, starting over"
  rm -rf "$venv"
elif [[ -e $venv ]] && ! { usable "$venv/bin/python" && "$venv/bin/python" -c 'import pip' 2>/dev/null; }; then
  echo "set-up: .venv has no working Python >= 3.11 with pip, making it again"
  rm -rf "$venv"
fi

if [[ -e $venv && -e $stamp && $(cat "$stamp") == "$(wanted)" ]]; then
  exit 0
fi

if [[ ! -e $venv ]]; then
  python=$(find_python)
  echo "set-up: making .venv with $("$python" --version) ($(command -v "$python"))"
  mkdir "$venv"
  touch "$unfinished"
  "$python" -m venv "$venv"
fi
echo "set-up: installing requirements.txt into .venv (about 7 GB and 2 minutes the first time)"
touch "$unfinished"
install
wanted >"$stamp"
rm "$unfinished"
echo "set-up: done"
