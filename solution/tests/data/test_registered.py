"""Image pairs: layouts, classes, what is missing, and the split into training, validation and test."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from solution.core.errors import InputError
from solution.data import registered
from solution.data.registered import PARTS, ImagePair, deal_parts, find_pairs, part_of, parted, read_parts, write_parts

SHARES = (0.875, 0.0625, 0.0625)
TERRAINS = ("agri", "barrenland", "grassland", "urban")

LAYOUTS = [
    ("sar/a.png", "opt/a.png", "", "pairs/a"),
    ("s1/a.png", "s2/a.png", "", "pairs/a"),
    (
        "urban/s1/ROIs1970_fall_s1_13_p265.png",
        "urban/s2/ROIs1970_fall_s2_13_p265.png",
        "urban",
        "pairs/urban/ROIs1970_fall_s1_13_p265",
    ),
    (
        "urban/s1/ROIs1970_fall_s1_13_p265.png",
        "urban/s2/ROIs1970_fall_s1_13_p265.png",
        "urban",
        "pairs/urban/ROIs1970_fall_s1_13_p265",
    ),
    (
        "ROIs1158_spring_s1/s1_12/ROIs1158_spring_s1_12_p3.png",
        "ROIs1158_spring_s2/s2_12/ROIs1158_spring_s2_12_p3.png",
        "",
        "pairs/ROIs1158_spring_s1_12_p3",
    ),
]


def touch(*paths: Path) -> None:
    """Files that nobody can read as an image."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no picture")


def made_up(classes: dict[str, int], scene_size: int = 0) -> list[ImagePair]:
    """Pairs that are not on disk."""
    found = []
    for group, count in classes.items():
        for number in range(count):
            stem = f"ROIs_s1_{number // scene_size}_p{number}" if scene_size else f"{number:05d}"
            found.append(ImagePair(f"{group}/s1/{stem}", f"x/{group}/{stem}", group, Path(f"{stem}.png"), Path("b")))
    return found


@pytest.mark.parametrize(("sar", "optical", "group", "name"), LAYOUTS)
def test_pairs_are_listed_in_every_layout_without_being_opened(tmp_path, sar, optical, group, name):
    root = tmp_path / "pairs"
    touch(root / sar, root / optical)
    (pair,) = find_pairs(root)
    assert (pair.id, pair.name, pair.group) == (sar.removesuffix(".png"), name, group)
    assert (pair.sar, pair.optical) == (root / sar, root / optical)
    with pytest.raises(InputError, match=r"is not a readable image; copy it again or remove the pair"):
        pair.read()


def test_a_missing_partner_is_named(tmp_path):
    touch(tmp_path / "s1" / "a.png", tmp_path / "s2" / "a.png", tmp_path / "s1" / "x_s1_b.png")
    with pytest.raises(
        InputError,
        match=r"s1/x_s1_b\.png: has no optical partner .*s2/x_s2_b\.png; add it, or remove the SAR image \(1 such",
    ):
        find_pairs(tmp_path)
    assert [pair.id for pair in find_pairs(tmp_path, exclude=["x_s1_b"])] == ["s1/a"]


def test_reading_gives_grey_and_red_first(tmp_path):
    touch(tmp_path / "sar" / "a.png", tmp_path / "opt" / "a.png")
    sar, optical = np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    cv2.imwrite(str(tmp_path / "sar" / "a.png"), sar)
    cv2.imwrite(str(tmp_path / "opt" / "a.png"), optical[..., ::-1])
    read = find_pairs(tmp_path)[0].read()
    assert np.array_equal(read[0], sar) and np.array_equal(read[1], optical)


def test_the_kaggle_set_is_dealt_out_exactly_and_evenly():
    table = deal_parts(made_up(dict.fromkeys(TERRAINS, 4000)), SHARES, seed=0)
    assert table["part"].value_counts().to_dict() == {"train": 14_000, "val": 1_000, "test": 1_000}
    each = table.groupby(["class", "part"]).size()
    assert all(
        each[terrain, part] == count
        for terrain in TERRAINS
        for part, count in zip(PARTS, (3500, 250, 250), strict=True)
    )
    assert table["id"].is_unique and list(table.columns) == ["id", "class", "part"]


def test_the_split_follows_from_names_and_seed():
    found = made_up({"a": 40, "b": 17})
    first = deal_parts(found, SHARES, seed=3)
    assert first.equals(deal_parts(found[::-1], SHARES, seed=3))
    assert not first.equals(deal_parts(found, SHARES, seed=4))


@pytest.mark.parametrize(
    ("count", "expected"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (12, (10, 1, 1)), (110, (96, 7, 7)), (1, (1, 0, 0))]
)
def test_small_folders_have_a_pair_for_every_part(count, expected):
    parts = Counter(deal_parts(made_up({"": count}), SHARES, seed=0)["part"])
    assert tuple(parts[part] for part in PARTS) == expected


def test_unequal_classes_keep_their_shares():
    table = deal_parts(made_up({"a": 90, "b": 30}), (80, 20, 20), seed=0)
    each = table.groupby(["part", "class"]).size()
    assert all(abs(each[part, "a"] - 0.75 * total) <= 1 for part, total in zip(PARTS, (80, 20, 20), strict=True))
    assert len(table) == 120


def test_numbers_of_pairs_are_taken_at_their_word():
    parts = Counter(deal_parts(made_up({"": 30}), (8, 0, 3), seed=0)["part"])
    assert parts == {"train": 8, "test": 3}


def test_whole_scenes_stay_together():
    found = made_up({"": 200}, scene_size=10)
    table = deal_parts(found, (0.7, 0.1, 0.2), seed=1, whole_scenes=True)
    scenes = table.assign(scene=table["id"].str.replace(r"_p\d+$", "", regex=True)).groupby("scene")["part"].nunique()
    assert len(scenes) == 20 and scenes.max() == 1
    assert table["part"].value_counts().to_dict() == {"train": 140, "val": 20, "test": 40}
    assert (
        deal_parts(found, (0.7, 0.1, 0.2), seed=1)
        .assign(s=lambda t: t["id"].str[:12])
        .groupby("s")["part"]
        .nunique()
        .max()
        > 1
    )


@pytest.mark.parametrize(
    ("amounts", "message"),
    [
        ((0.5, 0.1, 0.1), "shares that add up to 1"),
        ((9, 1, 1), "add up to 10, the number of pairs"),
        ((0.5, 3, 1), "or whole numbers"),
    ],
)
def test_amounts_that_make_no_sense_are_refused(amounts, message):
    with pytest.raises(InputError, match=message):
        deal_parts(made_up({"": 10}), amounts, seed=0)
    with pytest.raises(InputError, match="none of them below 0"):
        deal_parts(made_up({"": 10}), (1.5, -0.25, -0.25), seed=0)
    with pytest.raises(InputError, match="part train would be empty"):
        deal_parts(made_up({"": 10}, scene_size=10), SHARES, seed=0, whole_scenes=True)


def test_another_split_is_not_overwritten_unless_told(tmp_path):
    path, found = tmp_path / "split.csv", made_up({"": 20})
    first, second = (deal_parts(found, SHARES, seed) for seed in (0, 1))
    assert write_parts(first, path, replace=False) and not write_parts(first, path, replace=False)
    assert read_parts(path).equals(first)
    with pytest.raises(InputError, match="holds another split; pass --replace"):
        write_parts(second, path, replace=False)
    assert read_parts(path).equals(first)
    assert write_parts(second, path, replace=True) and read_parts(path).equals(second)
    assert [p.name for p in tmp_path.iterdir()] == ["split.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,part\na,test\n", "has the columns id,part; the header must be id,class,part"),
        ("id,class,part\na,,tset\n", "data row 1 has the part 'tset'; it must be one of train, val, test"),
        ("id,class,part\na,,test\na,,val\n", "names a twice"),
        ("", "is not a readable CSV"),
    ],
)
def test_bad_splits_end_in_a_sentence(tmp_path, text, message):
    path = tmp_path / "split.csv"
    with pytest.raises(InputError, match="no such split; make it with: python -m solution translate split"):
        read_parts(path)
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_parts(path)


def test_parts_of_several_folders(tmp_path):
    for folder, count in (("one", 4), ("two", 2)):
        for number in range(count):
            touch(tmp_path / folder / "s1" / f"{number}.png", tmp_path / folder / "s2" / f"{number}.png")
    split = tmp_path / "split.csv"
    split.write_text("id,class,part\ns1/0,,test\ns1/1,,train\ns1/2,,val\ns1/3,,train\n")
    folders = [tmp_path / "one", tmp_path / "two"]
    parts = parted(folders, [split], exclude=["3"])
    names = {part: [pair.name for pair in members] for part, members in parts.items()}
    assert names == {"train": ["one/1", "two/0", "two/1"], "val": ["one/2"], "test": ["one/0"]}
    with pytest.raises(InputError, match=r"split\.csv: names s1/3, which is not in the folder \(1 such\)"):
        part_of(find_pairs(folders[0])[:3], split, "train")
    with pytest.raises(InputError, match="there are 3 splits for 2 folder"):
        parted(folders, [split] * 3)
    with pytest.raises(InputError, match="--part all: is none of train, val, test"):
        part_of(find_pairs(folders[0]), split, "all")


def test_the_command_makes_and_keeps_a_split(tmp_path, run):
    for group in ("agri", "urban"):
        for number in range(8):
            touch(
                tmp_path / "p" / group / "s1" / f"x_s1_1_p{number}.png",
                tmp_path / "p" / group / "s2" / f"x_s2_1_p{number}.png",
            )
    out = tmp_path / "split.csv"
    code, text, _ = run("translate", "split", tmp_path / "p", "--out", out)
    assert code == 0 and "made, 14 train, 1 val, 1 test over 2 classes" in text
    assert "up to date" in run("translate", "split", tmp_path / "p", "--out", out)[1]
    code, _, err = run("translate", "split", tmp_path / "p", "--out", out, "--seed", 1)
    assert code == 2 and "holds another split" in err and len(err.splitlines()) == 1
    assert set(registered.read_parts(out)["class"]) == {"agri", "urban"}
