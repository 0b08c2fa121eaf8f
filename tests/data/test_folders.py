"""Pictures sorted into folders: which are read, as which class, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.pictures import folder_source, grey, greys, write_classes
from tests.helpers.project import write_pictures
from ulfine.data.pictures import FORMATS
from ulfine.data.sources import class_counts, load
from ulfine.data.store import Counts, LeftOut, write_store


def test_a_folder_is_read_class_by_class_in_the_order_of_names(tmp_path):
    write_pictures(tmp_path / "p", train=3, test=2)
    loaded = load(folder_source(tmp_path / "p"), 16)
    assert loaded.classes == ["blue dot", "green bar", "grey cross", "red circle"]
    assert loaded.parts["train"].labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    pictures = list(loaded.parts["test"].pictures)
    assert len(pictures) == 8
    with Image.open(tmp_path / "p/test/blue_dot/01.png") as picture:
        assert (pictures[1] == np.asarray(picture)).all()
    counts = class_counts(folder_source(tmp_path / "p"))
    assert counts == Counts([3, 3, 3, 3], 0) and counts.classes == loaded.classes


def test_a_share_of_each_class_is_the_test_set_where_there_is_none(tmp_path):
    """A share of 0.25 of 10, 2 and 6 pictures: 2.5 and 1.5 round to 2, and 0.5 becomes the minimum, 1."""
    write_classes(tmp_path / "p", {"ape": 10, "bee": 2, "cat": 6})
    source = folder_source(tmp_path / "p", test_share=0.25)
    assert class_counts(source) == Counts([8, 1, 4], 0)
    loaded, again = load(source, 8), load(source, 8)
    assert loaded.parts["train"].labels.tolist() == [0] * 8 + [1] + [2] * 4
    assert loaded.parts["test"].labels.tolist() == [0, 0, 1, 2, 2]
    test, train = greys(loaded.parts["test"]), greys(loaded.parts["train"])
    assert sorted(test + train) == [*range(10), 10, 11, *range(20, 26)]
    assert greys(again.parts["test"]) == test
    (tmp_path / "p/bee/2.png").write_bytes((tmp_path / "p/bee/1.png").read_bytes())
    moved = greys(load(source, 8).parts["test"])
    assert [value for value in moved if value // 10 != 1] == [value for value in test if value // 10 != 1]


COMPOSED, APART = "caf\u00e9", "cafe\u0301"


def test_a_class_is_the_same_in_either_unicode_form_of_its_name(tmp_path):
    """A decomposed name is sorted by its composed form: decomposed it would precede `cafz`."""
    write_classes(tmp_path / "p/train", {APART: 2, "cafz": 1})
    write_classes(tmp_path / "p/test", {COMPOSED: 1, "cafz": 1})
    loaded = load(folder_source(tmp_path / "p"), 8)
    assert loaded.classes == ["cafz", COMPOSED]
    assert loaded.parts["train"].labels.tolist() == [0, 1, 1] and greys(loaded.parts["train"]) == [10, 0, 1]
    assert loaded.parts["test"].labels.tolist() == [0, 1] and greys(loaded.parts["test"]) == [10, 0]
    assert class_counts(folder_source(tmp_path / "p")).classes == loaded.classes


def test_a_share_is_drawn_alike_for_either_unicode_form_of_a_name(tmp_path):
    """The UTF-8 bytes of the composed form seed the draw: 63 61 66 c3 a9."""
    tests = []
    for place, name in (("one", COMPOSED), ("other", APART)):
        write_classes(tmp_path / place, {name: 10, "dog": 2})
        tests.append(greys(load(folder_source(tmp_path / place, test_share=0.3), 8).parts["test"]))
    drawn = np.random.default_rng([0x63, 0x61, 0x66, 0xC3, 0xA9]).choice(10, 3, replace=False)
    assert tests[0] == tests[1] and tests[0][:3] == sorted(drawn.tolist())


def test_a_share_of_a_plain_name_is_drawn_by_its_bytes_as_they_are_on_disk(tmp_path):
    write_classes(tmp_path / "p", {"_sea__lion": 10, "dog": 2})
    loaded = load(folder_source(tmp_path / "p", test_share=0.3), 8)
    drawn = np.random.default_rng(list(b"_sea__lion")).choice(10, 3, replace=False)
    assert loaded.classes == ["sea lion", "dog"] and greys(loaded.parts["test"])[:3] == sorted(drawn.tolist())


def test_a_large_test_share_leaves_a_picture_to_train_on(tmp_path):
    write_classes(tmp_path / "p", {"ape": 3, "bee": 2})
    assert class_counts(folder_source(tmp_path / "p", test_share=0.99)) == Counts([1, 1], 0)
    write_classes(tmp_path / "p", {"cat": 1})
    with pytest.raises(ValueError, match="cat: has 1 picture; with test_share a class needs at least 2"):
        class_counts(folder_source(tmp_path / "p", test_share=0.99))


def test_a_test_share_of_a_source_that_has_a_test_set_is_refused(tmp_path):
    write_pictures(tmp_path / "p", train=2, test=1)
    with pytest.raises(ValueError, match="p: holds train/ and test/, where test_share takes <class>/"):
        class_counts(folder_source(tmp_path / "p", test_share=0.5))


def test_pictures_of_a_class_may_lie_in_folders_of_their_own(tmp_path):
    for part in ("train", "test"):
        write_classes(tmp_path / "p" / part, {"ape": 2, "bee": 1})
    write_classes(tmp_path / "p/train/ape", {"more": 2, "more/deep": 1, "empty": 0})
    source = folder_source(tmp_path / "p")
    assert class_counts(source) == Counts([5, 1], 0)
    assert greys(load(source, 8).parts["train"]) == [0, 1, 0, 1, 10, 10]


def test_hidden_files_other_files_and_what_is_no_file_are_no_pictures(tmp_path):
    for part in ("train", "test"):
        write_classes(tmp_path / "p" / part, {"ape": 2, "bee": 2, ".ipynb_checkpoints": 2})
    train = tmp_path / "p/train"
    for name in ("ape/._0.png", "ape/.DS_Store", "ape/notes.txt", "ape/a.eps", "bee/photo.heic", "loose.png"):
        (train / name).write_bytes(b"no picture")
    os.mkfifo(train / "bee/pipe.png")
    grey(train / "bee/2.png", 12)
    (train / "bee/2.png").rename(train / "bee/2.PNG")
    assert class_counts(folder_source(tmp_path / "p")) == Counts([2, 3], 0)
    loaded = load(folder_source(tmp_path / "p"), 8)
    assert greys(loaded.parts["train"]) == [0, 1, 10, 11, 12]
    assert loaded.left_out == LeftOut(others=5)  # all but the hidden ones, the pipe among them


@pytest.mark.parametrize("where", ["apart", "p/unlabeled", "p/ape/unlabeled"])
def test_unlabeled_pictures_of_a_folder_follow_those_of_the_classes(tmp_path, where):
    write_classes(tmp_path / "p", {"ape": 3, "zebra": 3})
    write_classes(tmp_path, {where: 2})
    source = folder_source(tmp_path / "p", test_share=0.3, unlabeled=str(tmp_path / where))
    assert class_counts(source) == Counts([2, 2], 2)
    loaded = load(source, 8)
    assert loaded.classes == ["ape", "zebra"]
    assert loaded.parts["train"].labels.tolist() == [0, 0, 1, 1, -1, -1]
    assert loaded.parts["test"].labels.tolist() == [0, 1]
    assert greys(loaded.parts["train"])[4:] == [0, 1]


@pytest.mark.parametrize("parts", [("train", "test"), ("",)])
def test_a_folder_named_unlabeled_beside_train_or_the_classes_is_taken(tmp_path, parts):
    for part in parts:
        write_classes(tmp_path / "p" / part, {"ape": 4, "bee": 4})
    write_classes(tmp_path / "p", {"unlabeled": 3})
    write_classes(tmp_path, {"other": 1})
    share = {} if len(parts) == 2 else {"test_share": 0.25}
    source = folder_source(tmp_path / "p", **share)
    known = 4 if len(parts) == 2 else 3
    assert class_counts(source) == Counts([known, known], 3)
    assert greys(load(source, 8).parts["train"])[2 * known :] == [0, 1, 2]
    with pytest.raises(ValueError, match=r"p/unlabeled: is a folder of unlabeled pictures, but .*other is named"):
        load(folder_source(tmp_path / "p", unlabeled=str(tmp_path / "other"), **share), 8)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("none", "none: no such folder of unlabeled pictures"),
        ("p", "p: named as the folder of unlabeled pictures, but holds .*p$"),
        (".", "named as the folder of unlabeled pictures, but holds .*p$"),
    ],
)
def test_a_folder_of_unlabeled_pictures_that_is_none_is_named(tmp_path, where, message):
    write_classes(tmp_path / "p", {"ape": 2, "bee": 2})
    source = folder_source(tmp_path / "p", test_share=0.5, unlabeled=str(tmp_path / where))
    with pytest.raises(ValueError, match=message):
        class_counts(source)


@pytest.fixture
def linked(tmp_path) -> Path:
    """Make two classes of two pictures in each part."""
    for part in ("train", "test"):
        write_classes(tmp_path / "p" / part, {"ape": 2, "bee": 2})
    return tmp_path / "p"


def test_links_inside_are_left_out_and_counted(linked):
    (linked / "train/ape/x.png").symlink_to(linked / "train/bee/0.png")
    (linked / "train/bee/loop").symlink_to(linked / "train")
    (linked / "train/ass").symlink_to("ape")
    (linked / "test/bee/gone.png").symlink_to("nowhere.png")
    loaded = load(folder_source(linked), 8)
    assert loaded.left_out == LeftOut(links=4) and loaded.classes == ["ape", "bee"]
    assert greys(loaded.parts["train"]) == [0, 1, 10, 11] and greys(loaded.parts["test"]) == [0, 1, 10, 11]


@pytest.mark.parametrize("link", ["train/ape/x.png", "train/ape/more", "train/cat", "test/bee/deep/x.png", "unlabeled"])
def test_a_link_that_leaves_the_folder_is_refused_by_name(linked, tmp_path, link):
    (tmp_path / "p-other").mkdir()
    (linked / link).parent.mkdir(exist_ok=True)
    (linked / link).symlink_to(tmp_path / "p-other")
    with pytest.raises(ValueError, match=rf"p/{link}: links to .*/p-other, outside the source's folder .*/p$"):
        class_counts(folder_source(linked))


def test_the_source_itself_may_be_a_link(linked, tmp_path):
    (tmp_path / "away").mkdir()
    link = tmp_path / "away/link"
    link.symlink_to(linked)
    write_classes(tmp_path, {"pool": 2})
    (tmp_path / "away/pool").symlink_to(tmp_path / "pool")
    (linked / "train/ape/0.png").write_bytes(b"no")
    (tmp_path / "pool/1.png").write_bytes(b"no")
    source = folder_source(link, unlabeled=str(tmp_path / "away/pool"), broken="skip")
    assert greys(load(source, 8).parts["train"]) == ["train/ape/0.png", 1, 10, 11, 0, "../pool/1.png"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: [link_to(p / "train/cat" / name, p / "train/ape/0.png") for name in ("a.png", "b.png")], "2 links"),
        (lambda p: link_to(p / "unlabeled", p / "train"), "p/unlabeled: is a link, which is left out"),
    ],
)
def test_a_folder_of_links_alone_says_so(linked, make, message):
    make(linked)
    with pytest.raises(ValueError, match=message):
        class_counts(folder_source(linked))


def link_to(link: Path, target: Path) -> None:
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(target)


def test_broken_pictures_are_left_out_where_the_source_says_so(tmp_path):
    write_classes(tmp_path / "p", {"ape": 3, "bee": 3})
    (tmp_path / "p/ape/1.png").write_bytes(b"no")
    kept = load(folder_source(tmp_path / "p", test_share=0.3, broken="skip"), 8)
    assert sorted(map(str, greys(kept.parts["train"]) + greys(kept.parts["test"]))) == sorted(
        ["0", "ape/1.png", "2", "10", "11", "12"]
    )
    assert not kept.stops


def test_broken_pictures_end_the_store_where_the_source_does_not_say_so(tmp_path):
    write_classes(tmp_path / "p", {"train/ape": 3, "train/bee": 3, "test/ape": 2, "test/bee": 1})
    for name in ("train/bee/1.png", "train/bee/2.png", "test/ape/0.png"):
        (tmp_path / "p" / name).write_bytes(b"no")
    (tmp_path / "store").mkdir()
    with pytest.raises(ValueError) as caught:
        write_store(tmp_path / "store", load(folder_source(tmp_path / "p"), 8), 8, "none")
    first = f"{tmp_path}/p/train/bee/1.png: not a readable picture (none of {', '.join(FORMATS)})"
    assert str(caught.value) == f"{first}; 3 of 9 pictures cannot be read; broken: skip leaves such pictures out"
