"""What shows on scenes of some size only, with the shipped weights and simulated scenes whose truth is known everywhere:
halves that are predicted apart, images that share a part only, clouds and water, shifts at the edge of the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasterio.windows import Window
from typer.testing import CliRunner

from solution.cli.app import app
from solution.data.naming import FOLDS
from solution.field.verdict import EXIT_CODES
from solution.simulate import scene_writer

pytestmark = pytest.mark.slow
SIZE = (640, 960)
SEED = 9303
