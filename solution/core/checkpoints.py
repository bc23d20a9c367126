"""Checkpoints of a training run, whole or not at all: one that is cut off would end every later run."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from solution.core.writing import write_bytes


class WholeCheckpoints(TorchCheckpointIO):
    """For Lightning's trainer, as one of its plugins."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint. Raises `InputError` where the disk refuses it."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_bytes(Path(path), content.getvalue())
