"""Work that kills its worker. A worker that begins anew imports this file, so it must need little."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from solution.batch.work import Job


def deadly(job: Job) -> dict:
    """A pair called ``once`` kills its worker at the first try, one called ``always`` at every one."""
    tries = job.begin()
    if job.pair.name == "always" or (job.pair.name == "once" and tries == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return {"verdict": "ok", "tries": tries}
