"""Shards hold the very levels of an image, and caches keep to their limits."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.samples import images, shards
from solution.samples.cache import Cache

SHAPE = (601, 1031)  # blocks that end early on both sides, and odd sizes at every level


@pytest.fixture(scope="module")
def pixels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    optical, sar = rng.integers(1, 256, (*SHAPE, 3), dtype=np.uint8), rng.integers(1, 256, SHAPE, dtype=np.uint8)
    optical[100:140, 500:600] = 0
    sar[:7] = 0
    return optical, sar


@pytest.fixture
def shard(pixels, tmp_path):
    windows = [
        Window(x, y, min(512, SHAPE[1] - x), min(256, SHAPE[0] - y)) for y in (0, 256, 512) for x in (0, 512, 1024)
    ]
    blocks = [(w, *(one[w.y : w.stop[1], w.x : w.stop[0]] for one in pixels)) for w in windows]
    path = tmp_path / "a.blocks"
    shards.write_shard(path, SHAPE, reversed(blocks))
    return path


def test_a_shard_holds_every_level(shard, pixels):
    assert shards.is_whole(shard, SHAPE) and shard.stat().st_size == shards.shard_bytes(SHAPE)
    for stored, image in zip(shards.shard_levels(shard, SHAPE), pixels, strict=True):
        levels = images.pyramid(image)
        assert stored.shapes == tuple(level.shape[:2] for level in levels) and len(levels) == 4
        for number, level in enumerate(levels):
            np.testing.assert_array_equal(stored.part(number, Window(0, 0, *level.shape[1::-1])), level)


@pytest.mark.parametrize(
    "window", [(0, 0, 1, 1), (255, 255, 2, 2), (256, 256, 256, 256), (1030, 600, 1, 1), (300, 7, 731, 590)]
)
def test_any_part_of_it_can_be_read(shard, pixels, window):
    window = Window(*window)
    for stored, image in zip(shards.shard_levels(shard, SHAPE), pixels, strict=True):
        expected = image[window.y : window.stop[1], window.x : window.stop[0]]
        np.testing.assert_array_equal(stored.part(0, window), expected)


@pytest.mark.parametrize("spacing", [0.7, 1.0, 2.6, 8.0])
@pytest.mark.parametrize("inside", [True, False])
def test_samples_from_a_shard_are_those_from_memory(shard, pixels, spacing, inside):
    grid = np.stack(np.meshgrid(np.arange(48), np.arange(48)), axis=-1) * spacing
    turned = grid @ np.array([[0.8, 0.6], [-0.6, 0.8]]) + ((530.123, 300.5) if inside else (-20.25, 590.75))
    for stored, image in zip(shards.shard_levels(shard, SHAPE), pixels, strict=True):
        for xy in (turned, grid + 255.5, turned - 4000.0):  # halves of px, at odd places too, and beyond the image
            for trim in (np.zeros(4), np.array([540.0, 9.0, 0.0, 0.0])):
                for one, other in zip(
                    images.take(stored, xy, spacing, trim),
                    images.take(images.pyramid(image), xy, spacing, trim),
                    strict=True,
                ):
                    np.testing.assert_array_equal(one, other)


def test_a_part_of_a_level_is_sampled_as_the_whole_would_be(pixels):
    """Against OpenCV on the whole level, at positions whose last bits decide."""
    rng = np.random.default_rng(1)
    xy = rng.uniform(200, 500, (64, 64, 2))
    xy[::2] = np.rint(2 * xy[::2]) / 2
    for image in pixels:
        values, valid = images.take(images.pyramid(image), xy, 1.0, np.zeros(4))
        position = xy.astype(np.float32)
        whole = images._remapped(image, position, 1)
        mask = images._remapped(((image if image.ndim == 2 else image[..., 0]) > 0).astype(np.uint8), position, 0)
        np.testing.assert_array_equal(valid, mask.astype(np.float32))
        shown = valid if image.ndim == 2 else valid[..., None]
        np.testing.assert_array_equal(values, images.byte_values(whole) * shown)


def test_a_shard_that_was_cut_off_or_is_gone_is_told(shard):
    (optical, sar), content = shards.shard_levels(shard, SHAPE), shard.read_bytes()
    shard.write_bytes(content[:-1])
    assert not shards.is_whole(shard, SHAPE)
    optical.part(0, Window(0, 0, 9, 9))
    with pytest.raises(InputError, match=r"a\.blocks: cannot be read any more"):
        sar.part(3, Window(0, 0, *sar.shapes[3][::-1]))
    shard.unlink()
    with pytest.raises(InputError, match=r"a\.blocks: cannot be read any more"):
        optical.part(0, Window(0, 0, 9, 9))


def test_a_cache_keeps_what_was_used_last_within_its_limit():
    cache, made = Cache(100), []

    def get(key: str, size: int) -> str:
        return cache.get(key, lambda: made.append(key) or key.upper(), lambda _: size)

    assert [get(key, 40) for key in "abab"] == ["A", "B", "A", "B"] and made == ["a", "b"]
    get("a", 40)
    get("c", 40)  # b was used longest ago
    assert cache.held_bytes == 80 and len(cache) == 2
    get("a", 40)
    assert made == ["a", "b", "c"]
    assert get("large", 101) == "LARGE" and cache.held_bytes == 80 and len(cache) == 2
    get("b", 40)
    assert made == ["a", "b", "c", "large", "b"]
    sent = pickle.loads(pickle.dumps(cache))
    assert (len(sent), sent.held_bytes, sent.limit_bytes) == (0, 0, 100) and len(cache) == 2
