"""What a scene of each size takes."""

from __future__ import annotations

import io
import json

from rich.console import Console

from solution.benchmark import speed
from solution.benchmark.cell import DONE, FAILED


def _printed(found: dict) -> str:
    out = io.StringIO()
    Console(width=200, file=out).print(speed.table(found))
    return out.getvalue()


def test_seconds_are_shared_out_among_megapixels():
    done = {"status": DONE, "process_s": 18.0, "memory_gb": 1.5, "mean_px": 2.25}
    failed = {"status": FAILED, "reason": "no memory"}
    found = {
        3000: {"a scene": {"pipeline": done, "template": failed}},
        500: {"a scene": {"pipeline": done, "template": done}},
    }
    lines = _printed(found).splitlines()
    ours, theirs = (row for line in lines if (row := line.split())[:1] in (["pipeline"], ["template"]))
    assert ours == ["pipeline", "18", "2.0", "1.5", "2.2", "18", "72.0", "1.5", "2.2"]
    assert theirs[:2] == ["template", FAILED] and theirs[2:] == ["18", "72.0", "1.5", "2.2"]
    assert any("9 MP: s" in line and "0.25 MP: s" in line for line in lines)


def test_the_whole_process_is_timed_and_finished_cells_are_kept(run, trained, tmp_path):
    arguments = ("speed", "--size", 256, "--method", "zero", "--folds", trained.folds, "--out", tmp_path / "out")
    code, printed, err = run(*arguments)
    assert code == 0 and "s/MP" in printed, err
    (cells,) = json.loads((tmp_path / "out" / "256px" / "benchmark.json").read_text()).values()
    assert cells["zero"]["process_s"] > cells["zero"]["seconds"] >= 0
    again = run(*arguments)[1]
    assert "kept" in again and again.splitlines()[-1] == printed.splitlines()[-1]
