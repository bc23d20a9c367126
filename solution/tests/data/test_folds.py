"""Which fold holds which scene out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from solution.core.errors import InputError
from solution.data import folds

OFFICIAL = "scene,aoi,fold\n02_train_01,02,0\n02_train_02,02,1\n03_train_01,03,2\n"


def pairs(*names: str, labelled: bool = True) -> list:
    """What the split needs to know of a scene pair."""
    return [
        SimpleNamespace(name=name, aoi=name[:2], tiepoints_csv=Path("t.csv") if labelled else None) for name in names
    ]


def test_the_committed_split_is_the_official_one():
    assert (folds.FOLDS / folds.SPLIT).read_text() == OFFICIAL
    table = folds.read_split(folds.FOLDS / folds.SPLIT)
    assert table.to_dict("list") == {
        "scene": ["02_train_01", "02_train_02", "03_train_01"],
        "aoi": ["02", "02", "03"],
        "fold": [0, 1, 2],
    }


def test_few_scenes_are_left_out_one_by_one():
    made = folds.make_split(
        [*pairs("03_train_01", "02_train_02", "02_train_01"), *pairs("01_privatetest", labelled=False)]
    )
    assert made.to_csv(index=False) == OFFICIAL


def test_many_scenes_of_one_aoi_make_five_runs():
    table = folds.make_split(pairs(*(f"91_bright{number:02d}" for number in reversed(range(13)))))
    assert table["scene"].is_monotonic_increasing and table["fold"].is_monotonic_increasing
    assert table["fold"].value_counts().sort_index().tolist() == [3, 3, 3, 2, 2]


def test_many_aois_are_never_cut():
    sizes = {"05": 4, "01": 1, "02": 6, "03": 1, "04": 2, "06": 3, "07": 1}
    names = [f"{aoi}_train_{number:02d}" for aoi, count in sizes.items() for number in range(count)]
    table = folds.make_split(pairs(*names))
    assert (table.groupby("aoi")["fold"].nunique() == 1).all()
    assert sorted(table["fold"].unique()) == [0, 1, 2, 3, 4]
    assert table["fold"].value_counts().max() == 6
    assert table.equals(folds.make_split(pairs(*reversed(names))))


@pytest.mark.parametrize("most", [2, 3, 4])
@pytest.mark.parametrize("aois", [("50",), ("50", "51"), ("50", "51", "52", "53", "54")])
def test_ten_scenes_make_as_many_teams_as_are_asked_for(most, aois):
    names = [f"{aois[number % len(aois)]}_own_{number:02d}" for number in range(10)]
    table = folds.make_split(pairs(*names), most)
    sizes = table["fold"].value_counts()
    assert sorted(table["scene"]) == sorted(names) and sorted(sizes.index) == list(range(most))
    assert sizes.max() - sizes.min() <= (1 if len(aois) < 3 else 2)
    if len(aois) >= min(3, most):
        assert (table.groupby("aoi")["fold"].nunique() == 1).all()


def test_no_more_teams_than_scenes():
    assert folds.make_split(pairs("50_a", "50_b"), 3)["fold"].tolist() == [0, 1]


def test_a_kept_split_with_more_teams_than_asked_for_is_refused(make_scene, run, tmp_path):
    path = tmp_path / "folds" / "split.csv"
    for number in range(4):
        folder = make_scene(f"50_own_{number}", shape=(32, 40)).folder
    code, out, _ = run("split", folder, "--output", path, "--teams", 3)
    assert code == 0 and "made, 3 folds" in out
    before = path.read_text()
    assert [row[-1] for row in before.splitlines()[1:]] == ["0", "0", "1", "2"]
    assert "kept, 3 folds" in run("split", folder, "--output", path, "--teams", 4)[1]
    code, _, err = run("split", folder, "--output", path, "--teams", 2)
    assert code == 2 and f"{path}: has 3 folds, and no more than 2 are asked for" in err
    assert path.read_text() == before


@pytest.mark.parametrize("names", [(), ("02_train_01",)])
def test_folds_need_two_labelled_scenes(names):
    with pytest.raises(InputError, match="two scenes"):
        folds.make_split([*pairs(*names), *pairs("02_publictest", labelled=False)])


def test_a_split_that_names_the_scenes_is_kept_and_any_other_is_made(tmp_path):
    path = tmp_path / "split.csv"
    path.write_text(OFFICIAL.replace("02_train_02,02,1", "02_train_02,02,0").replace("03,2", "03,1"))
    kept, new = folds.split_for(pairs("02_train_02", "03_train_01"), path)
    assert not new and kept["fold"].tolist() == [0, 0, 1]
    made, new = folds.split_for(pairs("02_train_01", "77_own"), path)
    assert new and made["scene"].tolist() == ["02_train_01", "77_own"]
    made, new = folds.split_for(pairs("02_train_01", "77_own"), tmp_path / "none.csv")
    assert new and made["fold"].tolist() == [0, 1]


def test_written_and_read_again(tmp_path):
    table = folds.make_split(pairs("02_a", "03_b"))
    folds.write_split(table, tmp_path / "folds" / "split.csv")
    assert folds.read_split(tmp_path / "folds" / "split.csv").equals(table)
    assert [path.name for path in (tmp_path / "folds").iterdir()] == ["split.csv"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "not a readable CSV"),
        ("scene,fold\n02_a,0\n", "the header must be scene,aoi,fold"),
        ("scene,aoi,fold\n", "has the folds none"),
        ("scene,aoi,fold\n02_a,02,0\n03_b,03,x\n", "data row 2"),
        ("scene,aoi,fold\n02_a,02,0\n03_b,03,-1\n", "data row 2"),
        ("scene,aoi,fold\n02_a,03,0\n03_b,03,1\n", "data row 1"),
        ("scene,aoi,fold\n02_a,02,0\n02_a,02,1\n", "names scene 02_a twice"),
        ("scene,aoi,fold\n02_a,02,0\n03_b,03,0\n", "has the folds 0"),
        ("scene,aoi,fold\n02_a,02,0\n03_b,03,2\n", "has the folds 0, 2"),
    ],
)
def test_a_malformed_split_is_refused(tmp_path, text, sentence):
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        folds.read_split(path)
    assert str(path) in str(error.value) and sentence in str(error.value)


def test_a_missing_split_says_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match="python -m solution split"):
        folds.read_split(tmp_path / "split.csv")


def test_the_verb_keeps_or_makes_the_split(make_scene, run, tmp_path):
    path = tmp_path / "folds" / "split.csv"
    for name in ("02_train_01", "02_train_02", "03_train_01"):
        folder = make_scene(name, shape=(32, 40)).folder
    code, out, _ = run("split", folder, "--output", path)
    assert (
        code == 0 and path.read_text() == OFFICIAL and "made, 3 folds" in out and "fold 2 holds out 03_train_01" in out
    )
    code, out, _ = run("split", folder, "--output", path)
    assert code == 0 and "kept, 3 folds" in out
    make_scene("04_own", shape=(32, 40))
    assert run("split", folder, "--output", path)[0] == 0 and "04_own,04,3" in path.read_text()
