"""Surfaces: colour seen by the optical sensor and backscatter seen by the radar."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Material(IntEnum):
    """What a cell's top surface is made of."""

    ASPHALT = 0
    CONCRETE = 1
    SOIL = 2
    DRY_GRASS = 3
    GRASS = 4
    CROP = 5
    WATER = 6
    GRAVEL = 7
    PAVING = 8
    RUBBLE = 9
    ROOF_TILE = 10
    ROOF_FLAT = 11
    ROOF_METAL = 12
    TREE = 13
    VEHICLE = 14
    PITCH = 15


# Reflected colour (8-bit RGB at full sun), backscatter (dB, X-band at middle incidence: water and tarmac are smooth,
# vegetation is rough), and the standard deviations of the texture of both (share of brightness, dB).
_TABLE = {
    Material.ASPHALT: ((112, 112, 114), -19.0, 0.06, 0.8),
    Material.CONCRETE: ((178, 174, 166), -16.0, 0.07, 1.0),
    Material.SOIL: ((174, 150, 124), -11.5, 0.12, 1.6),
    Material.DRY_GRASS: ((146, 130, 94), -12.0, 0.13, 1.5),
    Material.GRASS: ((92, 106, 62), -10.5, 0.15, 1.2),
    Material.CROP: ((96, 118, 60), -9.5, 0.10, 1.0),
    Material.WATER: ((52, 72, 76), -27.0, 0.05, 0.6),
    Material.GRAVEL: ((166, 158, 146), -10.0, 0.12, 2.0),
    Material.PAVING: ((158, 148, 136), -15.0, 0.08, 1.2),
    Material.RUBBLE: ((158, 148, 138), -4.0, 0.35, 4.0),
    Material.ROOF_TILE: ((160, 92, 74), -7.5, 0.10, 2.0),
    Material.ROOF_FLAT: ((172, 168, 162), -10.0, 0.08, 2.5),
    Material.ROOF_METAL: ((170, 184, 198), -15.0, 0.05, 2.5),
    Material.TREE: ((58, 76, 42), -1.5, 0.22, 3.5),
    Material.VEHICLE: ((150, 150, 152), -8.0, 0.05, 4.0),
    Material.PITCH: ((120, 92, 70), -15.0, 0.04, 0.6),
}
COLOUR = np.array([_TABLE[m][0] for m in Material], dtype=np.float32)
BACKSCATTER_DB = np.array([_TABLE[m][1] for m in Material], dtype=np.float32)
COLOUR_TEXTURE = np.array([_TABLE[m][2] for m in Material], dtype=np.float32)
BACKSCATTER_TEXTURE_DB = np.array([_TABLE[m][3] for m in Material], dtype=np.float32)

_DB_LOW, _DB_STEP = -40.0, 0.25


def encode_db(db: np.ndarray) -> np.ndarray:
    """dB to the uint8 code in which the ground keeps backscatter (quarter decibels above -40)."""
    return np.clip(np.rint((np.asarray(db) - _DB_LOW) / _DB_STEP), 0, 255).astype(np.uint8)


DB_TO_POWER = (10.0 ** ((_DB_LOW + _DB_STEP * np.arange(256)) / 10.0)).astype(np.float32)
"""Linear backscatter of every uint8 code, (256,)."""
