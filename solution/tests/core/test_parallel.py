"""Tiles side by side: in order, few at a time, one thread each, and nothing swallowed."""

from __future__ import annotations

import threading

import pytest
import torch

from solution.core.parallel import mapped


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_and_progress_counts_them(threads):
    told = []
    found = list(mapped(lambda item: item**2, range(7), "squares", lambda *news: told.append(news)))
    assert found == [0, 1, 4, 9, 16, 25, 36]
    assert told[0] == ("squares", 0, 7) and told[-1] == ("squares", 7, 7)


def test_two_work_at_once_each_with_one_thread(threads):
    together = threading.Barrier(2, timeout=20)

    def work(_: int) -> int:
        together.wait()  # breaks where nobody else is at work
        return torch.get_num_threads()

    assert list(mapped(work, range(4), "", None)) == [1, 1, 1, 1]
    assert torch.get_num_threads() == 2


def test_few_results_are_held(threads):
    begun = []
    results = mapped(begun.append, range(100), "", None)
    next(results)
    assert len(begun) <= 5
    results.close()
    assert len(begun) < 10


def test_an_error_in_one_tile_is_raised(threads):
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("tile 3")
        return item

    with pytest.raises(ValueError, match="tile 3"):
        list(mapped(work, range(5), "", None))
    assert list(mapped(work, [], "", None)) == []
