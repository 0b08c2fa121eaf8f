"""The check of params.yaml against the pictures of its sources."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import project
from ulfine.runner import preflight as module
from ulfine.runner.preflight import checked

STL10 = {"kind": "torchvision", "name": "STL10", "path": "nowhere", "licence": "none"}
COPIES = {"include_labeled_in_unlabeled": True}
EXPONENTIAL = project.PARAMS["datasets"]["shapes"]["splits"]["tail"]
UNKNOWN = {"shape": "unknown", "n1": 6, "gamma_labeled": 3, "validation": 3, "shuffle_ranks": True} | COPIES
NATURAL = {"shape": "natural", "labeled_share": 0.1, "validation_share": 0.1} | COPIES
ALL_LABELS = {"shape": "natural-unknown", "validation_share": 0.1} | COPIES
NONE_HELD_OUT = [
    EXPONENTIAL | {"validation": 0},
    UNKNOWN | {"validation": 0},
    NATURAL | {"validation_share": 0},
    ALL_LABELS | {"validation_share": 0},
]


@pytest.fixture
def check(params, tmp_path, monkeypatch):
    """Check one split on a source: by default, folders of 22 pictures for each of 4 classes."""
    monkeypatch.chdir(tmp_path)
    for name in ("tiny.json", "tiny.pt"):
        Path(name).touch()
    project.write_pictures(tmp_path / "pictures")

    def run(split: dict, source: dict | None = None) -> list[str]:
        dataset = params["datasets"]["shapes"]
        dataset["source"] = source or dataset["source"] | {"path": str(tmp_path / "pictures")}
        dataset["splits"]["tail"] = split
        project.write_params(tmp_path, params)
        return [note.removeprefix(f"{tmp_path}/") for note in checked(tmp_path / "params.yaml").notes]

    return run


@pytest.mark.parametrize(
    ("split", "source"),
    [
        (EXPONENTIAL, None),
        (NATURAL, None),
        (EXPONENTIAL, STL10),
        (UNKNOWN, STL10),
        (NATURAL, STL10),
        (ALL_LABELS, STL10),
    ],
)
def test_what_the_pictures_serve_passes(check, split, source):
    check(split, source)


@pytest.mark.parametrize(
    ("split", "source", "message"),
    [
        (UNKNOWN, None, "shapes unknown and natural-unknown need training pictures without a label, and this source"),
        (ALL_LABELS, None, "shapes unknown and natural-unknown need training pictures without a label, and this sour"),
        (ALL_LABELS | {"validation_share": 0.999}, STL10, "asks for 500 validation of the 500 pictures of class "),
        (EXPONENTIAL | {"m1": 14}, None, "asks for 6 labeled + 14 unlabeled + 3 validation = 23 pictures of class '"),
        (UNKNOWN | {"n1": 498}, STL10, "asks for 498 labeled + 3 validation = 501 pictures of class "),
        (NATURAL | {"labeled_share": 0.89}, None, "asks for 20 labeled + 2 validation of the 22 pictures of class 'b"),
    ],
)
def test_what_they_cannot_serve_is_refused_in_one_line(check, split, source, message):
    with pytest.raises(ValueError) as caught:
        check(split, source)
    assert f"params.yaml: datasets.shapes.splits.tail: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


STL10_SPLITS = [(each, None if each["shape"] in ("consistent", "natural") else STL10) for each in NONE_HELD_OUT]


@pytest.mark.parametrize(("split", "source"), STL10_SPLITS)
def test_a_sweep_is_refused_where_a_split_has_no_validation_pictures(check, params, split, source):
    with pytest.raises(ValueError) as caught:
        check(split, source)
    key = "validation" if "validation" in split else "validation_share"
    said = f"{key} = 0 holds out no picture, which sweeps.frozen needs; give {key} > 0, or leave it out of grid.sweep"
    assert str(caught.value).endswith(f"params.yaml: datasets.shapes.splits.tail: {said}")
    params["grid"]["sweep"] = []
    check(split, source)  # trainings go without


def test_classes_too_small_to_hold_any_picture_out_are_a_split_without(check, params, tmp_path):
    shutil.rmtree(tmp_path / "pictures")
    project.write_pictures(tmp_path / "pictures", train=2)
    with pytest.raises(ValueError, match=r"= 0\.1 holds out no picture, as no class has 3, .*; give more pictures of"):
        check(NATURAL)
    params["grid"] |= {"sweep": [], "baseline": []}
    check(NATURAL)


def test_one_class_that_holds_pictures_out_is_enough(check, tmp_path):
    shutil.rmtree(tmp_path / "pictures")
    project.write_pictures(tmp_path / "pictures", train=2)
    grey = next((tmp_path / "pictures/train/grey_cross").iterdir())
    shutil.copy(grey, grey.with_name("more.png"))
    check(NATURAL)


@pytest.mark.parametrize("split", NONE_HELD_OUT)
def test_a_split_whose_pictures_cannot_be_counted_yet_is_refused_by_its_parameters(check, monkeypatch, split):
    monkeypatch.setattr(module, "class_counts", lambda _: None)
    with pytest.raises(ValueError, match=r"= 0 holds out no picture, which sweeps\.frozen needs"):
        check(split)


def test_pictures_that_a_split_leaves_unused_are_noted(check):
    assert check(NATURAL) == []
    (note,) = check(NATURAL, STL10)
    assert note == (
        "params.yaml: datasets.shapes.splits.tail: leaves 100,000 pictures without a label unused; shapes unknown "
        "and natural-unknown take them"
    )
    assert check(UNKNOWN, STL10) == check(ALL_LABELS, STL10) == []


def test_what_only_the_data_stage_can_count_is_left_to_the_split(check, monkeypatch):
    monkeypatch.setattr(module, "class_counts", lambda _: None)
    check(EXPONENTIAL | {"m1": 14})


def test_the_check_imports_nothing_slow():
    slow = "{'torch', 'torchvision', 'scipy'} & sys.modules.keys()"
    command = [sys.executable, "-c", f"import sys, ulfine.runner.preflight; sys.exit(bool({slow}))"]
    assert subprocess.run(command, check=False).returncode == 0


def test_files_of_a_backbone_that_are_not_there_are_named_before_any_work(check, params, tmp_path):
    params["backbones"]["tiny"]["pretrained"] = "nope.pt"
    with pytest.raises(ValueError, match=r"params\.yaml: backbones\.tiny: pretrained = 'nope\.pt': no such file$"):
        check(EXPONENTIAL)
    (tmp_path / "artifacts/backbones/tiny").mkdir(parents=True)  # as after a pull
    check(EXPONENTIAL)
