"""SAR2Optical: tiles of a whole scene, files in and out, and the command line to a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import Affine

from solution.core import artefact
from solution.core.artefact import Manifest
from solution.core.errors import InputError
from solution.core.geometry import Window
from solution.data.raster import read_sar
from solution.data.scene import open_pair
from solution.products import sar2optical
from solution.products.sar2optical import paint_image, painted_rows
from solution.proposers.flow.settings import FlowConfig
from solution.proposers.translator.network import Generator, translate
from solution.proposers.translator.settings import TranslatorConfig
from solution.samples import images
from solution.tests.conftest import write_raster
from solution.tests.products.conftest import speckled
from solution.training import stages

TRANSFORM = Affine(0.7, 0.0, 500_000.0, 0.0, -0.6, 5_000_000.0)


def grey(sar: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """A painter that shows the SAR image itself."""
    return np.stack([sar * valid] * 3)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("shape", [(64, 64), (640, 640), (641, 513), (100, 1500), (1300, 700)])
def test_tiles_are_put_together_to_what_they_show(shape):
    sar = speckled(*shape)
    picture = paint_image(sar, grey)
    assert picture.shape == (*shape, 3) and all(np.array_equal(picture[..., band], sar) for band in range(3))


def test_rows_come_in_order_and_few_at_a_time():
    image, steps = speckled(1700, 90), []

    def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
        assert window.height <= sar2optical.TILE_PX and window.stop[1] <= 1700
        values = images.byte_values(image[window.y : window.stop[1], window.x : window.stop[0]])
        return values, np.ones_like(values)

    blocks = list(painted_rows(read, image.shape, grey, lambda: steps.append(1)))
    assert [top for top, _ in blocks] == [0, 512, 1024, 1536] and max(rows.shape[1] for _, rows in blocks) == 512
    assert np.array_equal(np.concatenate([rows[0] for _, rows in blocks]), image)
    assert len(steps) == 4


def test_neighbouring_tiles_fade_into_each_other():
    shades = iter(np.linspace(0, 1, 4))

    def moody(sar: np.ndarray, valid: np.ndarray) -> np.ndarray:
        return np.full((3, *sar.shape), next(shades), np.float32)

    picture = paint_image(speckled(1100, 700), moody)[..., 0].astype(int)
    assert picture[0, 0] == 1 and picture[-1, -1] == 255
    # Tiles differ by 85 beside and 170 below each other, and change places over 64 px.
    assert max(np.abs(np.diff(picture, axis=axis)).max() for axis in (0, 1)) == 3


def test_a_whole_picture_and_its_tiles_agree(monkeypatch):
    torch.manual_seed(0)
    net = Generator(TranslatorConfig().smoke())
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(2, 1, 64, 64), torch.ones(2, 64, 64))
    net.eval()
    with torch.no_grad():
        for weight in net.paint.parameters():
            weight *= 4.0  # a picture with contrast
    sar = speckled(300, 420)
    whole = paint_image(sar, lambda *tile: translate(net, *tile)).astype(int)
    monkeypatch.setattr(sar2optical, "TILE_PX", 192)
    monkeypatch.setattr(sar2optical, "OVERLAP_PX", 96)
    tiled = paint_image(sar, lambda *tile: translate(net, *tile)).astype(int)
    assert whole.std() > 5
    assert (
        np.abs(whole - tiled)[:48, :48].max() <= 1
    )  # the first tile's corner, further than the net sees from its other borders
    assert np.abs(whole - tiled).mean() < 0.1 * whole.std()
    monkeypatch.setattr(sar2optical, "OVERLAP_PX", 98)
    shifted = paint_image(sar, lambda *tile: translate(net, *tile)).astype(int)  # tiles off the net's grid
    assert np.abs(whole - shifted).mean() > np.abs(whole - tiled).mean()


def test_pictures_are_those_that_training_knows(tmp_path):
    seen = []

    def note(sar: np.ndarray, valid: np.ndarray) -> np.ndarray:
        seen.append(sar)
        return grey(sar, valid)

    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    paint_image(image, note)
    source_values, _ = images.take(
        (np.maximum(image, 1),), np.stack(np.meshgrid(np.arange(16), np.arange(16)), -1).astype(float), 1.0, np.zeros(4)
    )
    assert np.array_equal(seen[0], source_values)


def test_a_raster_is_read_as_registration_reads_it(make_scene):
    scene = make_scene(sar_gsd=(0.5, 0.5), sar_offset=(0.0, 0.0), sar_shape=(160, 192), speckle=0.5, sar_dtype="uint16")
    pair, window = open_pair(scene.optical, scene.sar), Window(16, 8, 96, 80)
    with rasterio.open(scene.sar) as dataset:
        values, valid = read_sar(dataset, pair.sar_overview, window)
    expected = pair.read(window)
    np.testing.assert_allclose(values * expected.valid, expected.sar[0] * expected.valid, atol=1e-6)
    assert valid.all() and values.std() > 0.05


def test_a_scene_keeps_its_frame_and_its_blank_border(tmp_path, made, run):
    values = speckled(300, 700).astype(np.uint16)[None] * 9
    values[:, :80] = 0
    values[:, :, 640:] = 0
    write_raster(tmp_path / "sar.tif", values, TRANSFORM, "EPSG:32637")
    code, text, _ = run(
        "translate",
        "run",
        tmp_path / "sar.tif",
        tmp_path / "out" / "rgb.tif",
        "--weights",
        made.weights,
        "--device",
        "cpu",
    )
    assert code == 0 and "rgb.tif: 1 picture(s) written" in text
    with rasterio.open(tmp_path / "out" / "rgb.tif") as written:
        assert (written.crs, written.transform, written.shape) == (rasterio.CRS.from_epsg(32637), TRANSFORM, (300, 700))
        assert (written.dtypes, written.nodata) == (("uint8",) * 3, 0)
        picture, mask = written.read(), written.dataset_mask()
    assert not picture[:, :80].any() and not picture[:, :, 640:].any()
    assert picture[:, 80:, :640].min() >= 1 and picture[:, 80:, :640].std() > 0
    assert (mask[80:, :640] == 255).all() and not mask[:80].any()
    assert sorted(contents(tmp_path / "out")) == ["rgb.tif"]


def test_a_stopped_run_leaves_nothing_and_harms_nothing(tmp_path):
    write_raster(tmp_path / "sar.tif", speckled(700, 64)[None], TRANSFORM, None)
    (tmp_path / "out").mkdir()
    old = tmp_path / "out" / "old.tif"
    old.write_bytes(b"what lay there")
    calls = []

    def dying(sar: np.ndarray, valid: np.ndarray) -> np.ndarray:
        calls.append(1)
        if len(calls) % 2 == 0:
            raise KeyboardInterrupt
        return grey(sar, valid)

    for out in (old, tmp_path / "out" / "new.tif"):
        with pytest.raises(KeyboardInterrupt):
            sar2optical.run(tmp_path / "sar.tif", out, dying, None)
    assert contents(tmp_path / "out") == {"old.tif": b"what lay there"}


def test_pngs_and_folders_of_them(tmp_path, made, run):
    folder = made.pairs / "urban" / "s1"
    before = contents(folder)
    code, text, _ = run("translate", "run", folder, tmp_path / "out", "--weights", made.weights, "--device", "cpu")
    assert code == 0 and "4 picture(s) written" in text
    assert sorted(contents(tmp_path / "out")) == sorted(before) and contents(folder) == before
    name = min(before)
    assert (
        run("translate", "run", folder / name, tmp_path / "one.png", "--weights", made.weights, "--device", "cpu")[0]
        == 0
    )
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "out" / name).read_bytes()
    picture = cv2.imread(str(tmp_path / "one.png"), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (128, 128, 3) and picture.dtype == np.uint8 and picture.min() >= 1
    net, _ = stages.load_stage(stages.TRANSLATOR, made.weights)
    sar = images.byte_values(cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE))
    expected = images.to_bytes(translate(net, sar, np.ones_like(sar)), np.ones_like(sar))
    assert np.abs(picture[..., ::-1].astype(int) - np.moveaxis(expected, 0, -1)).max() <= 1  # red first


def test_bad_weights_end_in_a_sentence(tmp_path, made, run):
    other = tmp_path / "other.safetensors"
    tensors, manifest = artefact.load_weights(made.weights)
    artefact.save_weights(other, dict(list(tensors.items())[1:]), manifest)
    flow = tmp_path / "flow.safetensors"
    artefact.save_weights(flow, {"a": np.zeros(1)}, Manifest("flow", 0, (), FlowConfig().__dict__, 0))
    image = next((made.pairs / "agri" / "s1").iterdir())
    for weights, message in (
        (tmp_path / "none.safetensors", "no such weights"),
        (flow, "holds the weights of a flow, not of a translator"),
        (other, "does not fit the configured network"),
    ):
        code, _, err = run("translate", "run", image, tmp_path / "out.png", "--weights", weights, "--device", "cpu")
        assert code == 2 and message in err and str(weights) in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out.png").exists()


def test_bad_images_end_in_a_sentence(tmp_path):
    def refused(source: Path, out: Path, message: str) -> None:
        with pytest.raises(InputError, match=message):
            sar2optical.run(source, out, grey, None)
        assert not out.exists() or out == source or out.is_dir()

    raster, empty = tmp_path / "sar.tif", tmp_path / "empty"
    write_raster(raster, speckled(64, 64)[None], TRANSFORM, "EPSG:32637")
    empty.mkdir()
    refused(tmp_path / "nothing.tif", tmp_path / "out.tif", r"nothing\.tif: no such file or folder")
    refused(raster, raster, "is an input too")
    refused(raster, tmp_path / "out.png", r"out\.png: must be a file that ends in \.tif, like the input sar\.tif")
    refused(raster, empty, r"empty: must be a file that ends in \.tif")
    refused(empty, tmp_path / "out", r"empty: holds no \.png file")
    (tmp_path / "a.jpg").write_bytes(b"")
    refused(tmp_path / "a.jpg", tmp_path / "b.jpg", r"a\.jpg: is neither a GeoTIFF")
    (tmp_path / "a.png").write_bytes(b"no picture")
    refused(tmp_path / "a.png", tmp_path / "b.png", r"a\.png: is not a readable image")
    raster.write_bytes(raster.read_bytes()[:900])
    refused(raster, tmp_path / "out.tif", r"sar\.tif: unreadable or truncated raster")
    write_raster(raster, np.zeros((1, 64, 64), np.uint8), TRANSFORM, "EPSG:32637")
    refused(raster, tmp_path / "out.tif", "holds nothing but nodata")
    write_raster(raster, np.ones((2, 64, 64), np.uint8), TRANSFORM, "EPSG:32637")
    refused(raster, tmp_path / "out.tif", "has 2 bands where a SAR image has 1")
    write_raster(raster, np.ones((1, 64, 64), np.complex64), TRANSFORM, "EPSG:32637")
    refused(raster, tmp_path / "out.tif", "is complex; write its amplitude first")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "a.png", "empty", "sar.tif"]


def test_every_team_gets_a_translator_that_never_saw_its_scene(tmp_path, make_scene, made, run):
    for seed, name in enumerate(("02_train_01", "03_train_01")):
        data = make_scene(name, seed=seed).folder
    folds = tmp_path / "folds"
    assert run("split", data, "--output", folds / "split.csv")[0] == 0
    code, text, err = run(
        "train-translator",
        data,
        "--smoke",
        "--steps",
        1,
        "--folds",
        folds,
        "--device",
        "cpu",
        "--pairs",
        made.pairs,
        "--split",
        made.split,
    )
    assert code == 0 and text.count("wrote") == 2, err
    for fold, other, held_out in ((0, "03_train_01", "02_train_01"), (1, "02_train_01", "03_train_01")):
        manifest = artefact.read_manifest(folds / str(fold) / "translator.safetensors")
        assert manifest.fold == fold and other in manifest.trained_on and held_out not in manifest.trained_on
        assert sum(name.startswith("pairs/") for name in manifest.trained_on) == 4  # the training part only
