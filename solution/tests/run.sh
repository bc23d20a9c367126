#!/usr/bin/env bash
# All checks: lint, format, tests. Arguments go to pytest.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
"$root/solution/setup.sh"
cd "$root"
.venv/bin/ruff check solution
.venv/bin/ruff format --check solution
exec .venv/bin/python -m pytest "$@"
