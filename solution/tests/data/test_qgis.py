"""Points that the QGIS georeferencer saved are tie-points: where they lie, to a fraction of a pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform as warp_points

from solution.core.errors import InputError
from solution.data.tables import read_table
from solution.data.tiepoints import tiepoints_between
from solution.tests.conftest import Scene

UTM = "EPSG:32637"


def points_file(
    made: Scene, path: Path, source: str = "px", crs: str | None = None, header: str = "mapX,mapY,sourceX,sourceY"
) -> np.ndarray:
    """What someone saves who opened the SAR image and clicked its true places on the optical one; returns where, (N, 2)
    in continuous optical px."""
    pair = made.open()
    with rasterio.open(made.optical) as optical, rasterio.open(made.sar) as sar:
        x, y = np.meshgrid(np.linspace(20.2, 170.7, 6), np.linspace(20.6, 130.3, 5))
        x, y = x.ravel(), y.ravel()
        dx, dy = made.displacement(x - 0.5, y - 0.5)
        on_map = np.array(optical.transform @ (x, y))
        seen = np.array(optical.transform @ (x + dx, y + dy))
        column, row = ~sar.transform @ (seen[0], seen[1])
    sources = seen if source == "crs" else np.array([column, -row])
    lines = [f"{header},enable,dX,dY,residual"]
    if crs is not None:
        on_map = np.array(warp_points(UTM, crs, *on_map.tolist()))
        lines.insert(0, f"#CRS: {rasterio.crs.CRS.from_user_input(crs).to_wkt()}")
    lines += [f"{a:.9f},{b:.9f},{c:.6f},{d:.6f},1,0,0,0" for a, b, c, d in zip(*on_map, *sources, strict=True)]
    lines.append("0,0,5,-5,0,0,0,0")  # switched off
    path.write_text("\n".join(lines) + "\n")
    assert pair.shape == (160, 192)
    return np.column_stack([x, y])


@pytest.mark.parametrize(
    "fields",
    [{}, {"source": "crs"}, {"crs": "EPSG:4326"}, {"crs": UTM}, {"header": "mapX,mapY,pixelX,pixelY"}],
    ids=["pixels", "positions", "map in degrees", "map in the CRS of the image", "old header"],
)
def test_points_lie_where_they_were_clicked(make_scene, tmp_path, fields):
    made = make_scene(displacement=lambda x, y: (5 + 0.03 * x, -3 - 0.02 * y))
    path = tmp_path / "sar.points"
    clicked = points_file(made, path, **fields)
    pair = made.open()
    found = pair.tiepoints_of(tiepoints_between(read_table(path), made.optical, made.sar), path)
    np.testing.assert_allclose(found.xy, clicked - 0.5, atol=0.02)  # an index is the place of a centre
    true = np.column_stack(made.displacement(*found.xy.T)) - pair.centre_offset_px
    np.testing.assert_allclose(found.shift, true, atol=0.02)


def test_fit_and_score_read_them(make_scene, tmp_path, run):
    made = make_scene(displacement=lambda x, y: (5 + 0.03 * x, -3 - 0.02 * y))
    path, out = tmp_path / "sar.points", tmp_path / "map.tif"
    points_file(made, path)
    code, printed, err = run("fit", path, "--optical", made.optical, "--sar", made.sar, "--out", out)
    assert code in (0, 4), err
    assert "of 30 tie-points set aside" in printed
    pair = ["--optical_image", made.optical, "--sar_image", made.sar, "--output_offset_image", out]
    code, _, err = run("score", "--evaluation_tiepoints", path, *pair, "--score_file", tmp_path / "s.txt")
    assert code == 0, err
    assert float((tmp_path / "s.txt").read_text()) < 0.8


def test_points_of_another_image(make_scene, tmp_path):
    made = make_scene()
    path = tmp_path / "sar.points"
    points_file(made, path)
    path.write_text("mapX,mapY,sourceX,sourceY,enable\n500010,4999990,90000,-70000,1\n")
    with pytest.raises(InputError, match=r"lie neither .* open the SAR image in the georeferencer"):
        tiepoints_between(read_table(path), made.optical, made.sar)
    path.write_text("#CRS: nonsense\nmapX,mapY,sourceX,sourceY\n500010,4999990,90,-70\n")
    with pytest.raises(InputError, match="its CRS cannot be read"):
        tiepoints_between(read_table(path), made.optical, made.sar)
    path.write_text("mapX,mapY,sourceX,sourceY\n500010,4999990,90,-70\n")  # the mend: remove that line
    assert len(tiepoints_between(read_table(path), made.optical, made.sar)) == 1
