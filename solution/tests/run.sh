#!/usr/bin/env bash
# ./solution/tests/run.sh                                        all checks: lint, format, tests, and which ten tests took longest
# ./solution/tests/run.sh -m "not slow"                          without the tests of more than 3 s
# ./solution/tests/run.sh solution/tests/field/test_verdict.py   one test file
# Arguments go to pytest.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
"$root/solution/setup.sh"
cd "$root"
set -a; . solution/environment; set +a # as every command has it
# Tests run side by side already: threads of theirs would wait for each other, for up to four times as long.
export OMP_NUM_THREADS=1
.venv/bin/ruff check solution
.venv/bin/ruff format --check solution
exec .venv/bin/python -m pytest --durations=10 --numprocesses=auto --maxprocesses=4 \
    --dist=loadfile --no-loadscope-reorder "$@"
