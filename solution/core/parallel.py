"""Tiles side by side: every processor works on a tile of its own, and results come in order.

Small convolutions hardly gain from several threads, whole tiles do. Each tile is computed by one thread, so that its bytes
do not depend on how many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

import torch

from solution.core.progress import Item, Progress, counted

Result = TypeVar("Result")


def mapped(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    what: str,
    progress: Progress | None,
    device: torch.device | str = "cpu",
) -> Iterator[Result]:
    """Results of all items, in order; no more are held than there are workers, and one.

    Args:
        work: must not depend on what other items left behind; whatever it raises is raised here.
        device: one at a time is worked on where it is not the CPU, which keeps itself busy.
    """
    workers = torch.get_num_threads() if torch.device(device).type == "cpu" else 1
    # A thread of its own even where there is one: as many threads within an operation, one, give the same bytes.
    with ThreadPoolExecutor(workers, initializer=partial(torch.set_num_threads, 1)) as pool:
        ahead = (pool.submit(work, item) for item in items)
        pending = deque(islice(ahead, workers + 1))
        try:
            for _ in counted(items, what, progress):
                yield pending.popleft().result()
                pending.extend(islice(ahead, 1))
        finally:
            for future in pending:
                future.cancel()
