"""Every verb that writes looks where it will write before it works: one sentence, code 2, and nothing left behind."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from solution.tests.conftest import invoke

WRITERS = (
    "download PLACE --base-url http://127.0.0.1:9",
    "split DATA --output PLACE/split.csv",
    "score DATA DATA --json PLACE/score.json",
    "score --evaluation_tiepoints CSV --output_offset_image OPTICAL --optical_image OPTICAL --sar_image SAR"
    " --score_file PLACE/score.txt",
    "propose DATA --folds PLACE",
    "score-folds DATA --folds PLACE",
    "predict OPTICAL SAR PLACE/map.tif --folds FOLDS",
    "predict DATA --all --out PLACE --folds FOLDS",
    "predict --out PLACE --folds FOLDS",
    "report PLACE/map.tif",
    "batch DATA --out PLACE --folds FOLDS",
    "simulate PLACE",
    "picture OPTICAL SAR OPTICAL PLACE/picture.png",
    "benchmark --out PLACE --folds FOLDS",
    "steep DATA PLACE",
    "speed --out PLACE --folds FOLDS",
    "benchmark-runtimes --out PLACE --folds FOLDS",
    "verdicts DATA --out PLACE --folds FOLDS",
    "trunks DATA --out PLACE",
    "benchmark-tiles --out PLACE",
    "rehearse PLACE --scale small",
    "train-base --simulated DATA --folds PLACE",
    "train-coarse DATA --folds PLACE",
    "train-flow DATA --folds PLACE",
    "train-matcher DATA --folds PLACE",
    "train-translator DATA --folds PLACE",
    "train-reranker DATA --folds PLACE",
    "fit CSV --optical OPTICAL --sar SAR --out PLACE/map.tif",
    "fit CSV --optical OPTICAL --sar SAR --out GOOD/map.tif --uncertainty PLACE/sigma.tif",
    "fit CSV --optical OPTICAL --sar SAR --out GOOD/map.tif --warped-sar PLACE/sar.tif",
    "fit CSV --optical OPTICAL --sar SAR --out GOOD/map.tif --gcps PLACE/sar.vrt",
    "fit CSV --optical OPTICAL --sar SAR --out GOOD/map.tif --tiepoints PLACE/points.gpkg",
    "export CSV --optical OPTICAL --sar SAR --as PLACE/points.geojson",
    "export-onnx FOLDS/0 --out PLACE",
    "translate split DATA --out PLACE/split.csv",
    "translate train DATA --out PLACE/translator.safetensors",
    "translate evaluate DATA --json PLACE/result.json",
    "translate evaluate DATA --picture PLACE/picture.png",
    "translate run SAR PLACE/painted.tif",
    "baseline train DATA --folds PLACE",
    "baseline predict OPTICAL SAR PLACE/map.tif --folds FOLDS",
    "baseline predict DATA --out PLACE --folds FOLDS",
    "baseline report DATA --json PLACE/report.json --folds FOLDS",
    "baseline picture DATA PLACE/picture.png --folds FOLDS",
    "surface simulate PLACE",
    "surface sample SAR DATA PLACE",
    "surface train DATA --out PLACE/surface.safetensors --run GOOD",
    "surface train DATA --out GOOD/surface.safetensors --run PLACE",
    "surface evaluate DATA --json PLACE/result.json",
    "surface evaluate DATA --picture PLACE/picture.png",
    "surface compare DATA --run PLACE",
    "surface segment SAR PLACE/classes.tif",
)


@pytest.fixture
def arguments(trained, tmp_path):
    """A command line with the places in it -> its arguments."""
    words = {
        "DATA": trained.data,
        "FOLDS": trained.folds,
        "OPTICAL": trained.data / "02_optical_train_01.tif",
        "SAR": trained.data / "02_sar_train_01.tif",
        "CSV": trained.data / "02_tiepoints_train_01.csv",
        "GOOD": tmp_path / "good",
    }

    return lambda line, place: [
        re.sub("[A-Z]{3,}", lambda word: str({**words, "PLACE": place}[word[0]]), word) for word in line.split()
    ]


def check_refused(result: tuple[int, str, str], place: Path, folder: Path, sentence: str) -> None:
    code, _, err = result
    assert code == 2 and len(err.splitlines()) == 1, err
    assert err.startswith(f"error: {place}") and sentence in err, err
    assert ".partial" not in err
    assert [path.name for path in folder.iterdir()] in ([], ["file"])


@pytest.mark.parametrize("line", WRITERS)
def test_a_file_where_a_folder_should_be(run, arguments, tmp_path, line):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "deep"
    check_refused(run(*arguments(line, place)), place, tmp_path, "choose another place")


@pytest.mark.parametrize("line", WRITERS)
def test_a_full_disk(run, arguments, tmp_path, monkeypatch, line):
    def full(path: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    place = tmp_path / "place"
    check_refused(run(*arguments(line, place)), tmp_path, tmp_path, ": disk full: needs about ")


def test_a_folder_of_the_system(run, arguments, tmp_path):
    code, _, err = run(*arguments("fit CSV --optical OPTICAL --sar SAR --out PLACE.tif", Path("/proc/x")))
    assert code == 2 and err.startswith("error: /proc/x.tif: cannot be written") and len(err.splitlines()) == 1
    invoke(*arguments("fit CSV --optical OPTICAL --sar SAR --out GOOD/map.tif", tmp_path))


@pytest.mark.parametrize(
    "line",
    [
        "fit CSV --optical OPTICAL --sar SAR --out PLACE.png",
        "fit CSV --optical OPTICAL --sar SAR --out GOOD/map.tif --uncertainty PLACE.png",
        "fit CSV --optical OPTICAL --sar SAR --out GOOD/map.tif --warped-sar PLACE.jpg",
        "fit CSV --optical OPTICAL --sar SAR --out GOOD/map.tif --gcps PLACE.tif",
        "fit CSV --optical OPTICAL --sar SAR --out GOOD/map.tif --tiepoints PLACE.shp",
        "export CSV --optical OPTICAL --sar SAR --as PLACE.shp",
        "predict OPTICAL SAR GOOD/map.tif --tiepoints PLACE.kml --folds FOLDS",
        "predict OPTICAL SAR PLACE.png --folds FOLDS",
        "baseline predict OPTICAL SAR PLACE.png --folds FOLDS",
        "surface segment SAR PLACE.png",
        "translate run SAR PLACE.png",
        "picture OPTICAL SAR OPTICAL PLACE.tif",
        "baseline picture DATA PLACE.pdf --folds FOLDS",
        "surface evaluate DATA --picture PLACE.tif",
        "translate evaluate DATA --picture PLACE.svg",
    ],
)
def test_a_suffix_that_is_not_written(run, arguments, tmp_path, line):
    check_refused(run(*arguments(line, tmp_path / "out")), tmp_path / "out", tmp_path, "ends in .")
