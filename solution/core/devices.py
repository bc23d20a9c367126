"""Which device a command works on, and how many of them a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from solution.core.errors import InputError


def trainer_device(device: str) -> tuple[str, int | list[int] | str]:
    """``--device`` to Lightning's accelerator and devices."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return "cpu", 1
    name, _, number = device.partition(":")
    if name != "cuda" or (number and not number.isdigit()):
        raise InputError(f"--device {device}: is none of auto, cpu, cuda, cuda:N")
    if not torch.cuda.is_available():
        raise InputError(f"--device {device}: this machine offers no CUDA device; pass --device cpu")
    return "cuda", [int(number)] if number else "auto"


def torch_device(device: str) -> torch.device:
    """``--device`` for a prediction, which uses one device."""
    accelerator, devices = trainer_device(device)
    return torch.device(f"cuda:{devices[0]}" if isinstance(devices, list) else accelerator)


@dataclass(frozen=True)
class Devices:
    """What a training works on. How many devices share a batch, and in how many pieces, changes nothing of what the
    settings say of it.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        count: devices that share every batch, a process each; None = one, of GPUs as many as there are and can share it
            evenly.
        accumulate: pieces that each of them cuts its share into, and works on one after another, where its memory is
            small.
    """

    device: str = "auto"
    count: int | None = None
    accumulate: int = 1

    @classmethod
    def of(cls, device: str | Devices) -> Devices:
        """From a device alone."""
        return device if isinstance(device, Devices) else cls(device)

    def sharing(self, batch: int) -> tuple[str, int | list[int], int]:
        """Who shares a batch of that many tiles: Lightning's accelerator and devices, and how many these are.

        Raises:
            InputError: a device that is not there, or a batch that cannot be shared evenly.
        """
        accelerator, found = trainer_device(self.device)
        named = isinstance(found, list)
        if named and self.count not in (None, 1):
            raise InputError(f"--device {self.device}: is one device; pass --device cuda with --devices {self.count}")
        there = torch.cuda.device_count() if found == "auto" else self.count or 1
        if found == "auto" and self.count is not None and self.count > there:
            raise InputError(
                f"--devices {self.count}: this machine offers {there} CUDA device(s); pass that many at most"
            )
        even = [count for count in range(1, there + 1) if batch % (count * self.accumulate) == 0]
        count = self.count or max(even, default=1)
        if count not in even:
            raise InputError(
                f"--devices {count} --accumulate {self.accumulate}: a batch of {batch} cannot be cut into"
                f" {count * self.accumulate} equal pieces; pass numbers whose product divides {batch}"
            )
        return accelerator, found if named else count, count

    @contextmanager
    def memory_told(self, batch: int) -> Iterator[None]:
        """Around a training: a GPU's memory that does not suffice ends in a sentence.

        Raises:
            InputError: instead of torch's error.
        """
        try:
            yield
        except torch.OutOfMemoryError as error:
            more = next((count for count in range(2 * self.accumulate, batch + 1) if batch % count == 0), None)
            mend = f"pass --accumulate {more}, or more --devices" if more else "pass more --devices"
            raise InputError(
                f"--device {self.device}: its memory does not hold a device's share of a batch; {mend}"
            ) from error


def per_process(count: torch.Tensor, least: float = 1) -> torch.Tensor:
    """What a process divides a sum over its share of a batch by, lest the share matter: where the processes' quotients are
    averaged, as their gradients are, that is the sum over the whole batch by its count.

    Args:
        count: of this process.
        least: that the count of a whole batch is taken for.
    """
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return count.clamp_min(least)
    total = count.detach().clone()
    torch.distributed.all_reduce(total)
    return total.clamp_min(least) / torch.distributed.get_world_size()
