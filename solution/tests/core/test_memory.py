"""The peak of what a process holds, and that it can be forgotten."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from solution.core.memory import forget_peak, peak_gb


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process forget its peak")
def test_a_peak_is_seen_and_forgotten():
    forget_peak()
    before = peak_gb()
    block = np.ones(30_000_000)
    assert peak_gb() - before == pytest.approx(0.24, abs=0.05)
    del block
    forget_peak()
    assert peak_gb() - before < 0.1
