"""Damaged and hostile folders and tables: the stage names what is wrong, and leaves no store."""

import copy
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers import project
from tests.hostile.conftest import use
from ulfine.files import sha256


@pytest.fixture
def folder(here) -> Path:
    """Make two classes of two pictures in each part."""
    use(here, kind="folder", path="p")
    for name in ("train/ape", "train/bee", "test/ape", "test/bee"):
        (here / "p" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8)).save(here / f"p/{name}/{number}.png")
    return here / "p"


@pytest.mark.parametrize("name", ["Unlabeled", "unlabelled", "unlabel"])
def test_a_folder_that_is_nearly_called_unlabeled_is_not_passed_over(folder, refused, name):
    (folder / name).mkdir()
    line = refused("data", dataset="shapes")
    assert line == f"p/{name}: pictures without a label lie in p/unlabeled; rename it, or name it: source.unlabeled"


def link(path: str, target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / path).symlink_to(target)


def only_links(folder: Path) -> None:
    for number in range(2):
        (folder / f"train/ape/{number}.png").unlink()
        (folder / f"train/ape/{number}.png").symlink_to(f"../bee/{number}.png")


def copied(*names: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for part, name in product(("train", "test"), names):
            (folder / part / name).mkdir()
            Image.new("RGB", (8, 8)).save(folder / part / name / "0.png")

    return spoil


def emptied(folder: Path) -> None:
    for file in (folder / "test/bee").iterdir():
        file.unlink()


def undecodable(folder: Path) -> None:
    for part in ("train", "test"):
        (folder / part / os.fsdecode(b"\xff\xfe")).mkdir()


FOLDERS = {
    "a link out of the tree": (
        link("train/ape/9.png", "/etc/passwd"),
        "p/train/ape/9.png: links to /etc/passwd, outside",
    ),
    "a link to a picture elsewhere": (
        link("train/ape/9.png", "../../../pictures/x.png"),
        "p/train/ape/9.png: links to ",
    ),
    "a link to nowhere outside": (
        link("test/bee/9.png", "/no/such/file"),
        "p/test/bee/9.png: links to /no/such/file, outs",
    ),
    "a class that is a link": (
        link("train/cat", "/usr/share"),
        "p/train/cat: links to /usr/share, outside the source's",
    ),
    "a folder in a class, linked": (link("train/ape/more", "/"), "p/train/ape/more: links to /, outside"),
    "a part that is a link": (
        lambda p: ((p / "test").rename(p / "exam"), (p / "test").symlink_to("/usr")),
        "p/test: links to /usr, outside the source's folder p",
    ),
    "links to another class alone": (only_links, "p/train/ape: no pictures, but 2 links, which are left out"),
    "an empty class": (emptied, "p/test/bee: no pictures"),
    "a class in one part alone": (
        lambda p: (p / "test/bee").rename(p / "test/wasp"),
        "p: train/ and test/ must hold the s",
    ),
    "no test": (
        lambda p: (p / "test").rename(p / "exam"),
        "p/test: no such folder; a folder source holds train/<class>/",
    ),
    "train is a file": (
        lambda p: ((p / "train").rename(p / "old"), (p / "train").write_bytes(b"")),
        "p/train: no such fol",
    ),
    "names that differ by case": (
        copied("Ape"),
        "p/train: the classes 'Ape' and 'ape' read the same: case, underscores, white space, HTML entities and forms",
    ),
    "names that differ by underscore": (
        copied("sea lion", "sea_lion"),
        "p/train: the classes 'sea lion' and 'sea_lion' read the same: case, underscores,",
    ),
    "names that differ by a space at the end": (copied("ape "), "p/train: the classes 'ape' and 'ape ' read the same"),
    "names that differ by spaces between": (
        copied("sea lion", "sea  lion"),
        "p/train: the classes 'sea \\x20lion' and 'sea lion' read the same",
    ),
    "names of two Unicode forms": (
        copied("caf\u00e9", "cafe\u0301"),
        "p/train: the classes 'cafe\\u0301' and 'caf\\xe9' read the same",
    ),
    "names of two widths": (copied("\uff41pe"), "p/train: the classes 'ape' and '\uff41pe' read the same"),
    "a name with a ligature": (
        copied("fish", "\ufb01sh"),
        "p/train: the classes 'fish' and '\ufb01sh' read the same",
    ),
    "a name with an entity": (
        copied("a & b", "a &amp; b"),
        "p/train: the classes 'a & b' and 'a &amp; b' read the same",
    ),
    "a name of a space": (copied(" "), "p/train: a class has no name"),
    "a name of underscores": (copied("__"), "p/train: a class has no name"),
    "a name of two lines": (copied("a\nb"), "p/train: the class 'a\\nb' has characters that cannot be printed"),
    "a name that steers the terminal": (
        copied("a\x1b[2J"),
        "p/train: the class 'a\\x1b[2J' has characters that cannot",
    ),
    "a name of no encoding": (undecodable, "p/train: the class '\\udcff\\udcfe' has characters that cannot be printed"),
    "no classes": (lambda p: ((p / "train").rename(p / "old"), (p / "train").mkdir()), "p/train: holds no folders"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_is_not_what_it_should_be_is_refused(folder, refused, case):
    spoil, reason = FOLDERS[case]
    spoil(folder)
    assert refused("data", dataset="shapes").startswith(reason)


ROWS = "synset,downsampled_label,group,name\n"
GROUPS = {
    "nothing": (b"", "needs at least two groups"),
    "one group": (f"{ROWS}n00000001,1,g,a\n".encode(), "needs at least two groups"),
    "other columns": (b"a,b\n1,2\n", "line 2: needs the columns synset, downsampled_label, group, name"),
    "a label that is a word": (f"{ROWS}n00000001,x,g,a\n".encode(), "line 2: 'n00000001,x,g,a' is not like"),
    "a path for a synset": (f"{ROWS}../../etc,1,g,a\n".encode(), "line 2: '../../etc,1,g,a' is not like"),
    "a label beyond memory": (f"{ROWS}n00000001,{10**20},g,a\nn00000002,2,h,b\n".encode(), "i/train: no such folder"),
    "not UTF-8": (ROWS.encode() + b"\xff\xfe", "not valid CSV ('utf-8' codec can't decode byte 0xff"),
    "an endless field": (ROWS.encode() + b'"' + b"x" * 200_000, "not valid CSV (field larger than field limit"),
}


@pytest.mark.parametrize("case", GROUPS)
def test_a_wrong_table_of_groups_is_refused(here, refused, case):
    content, reason = GROUPS[case]
    (here / "g.csv").write_bytes(content)
    (here / "i").mkdir()
    groups = {"path": "g.csv", "sha256": sha256(here / "g.csv")}
    use(here, kind="imagenet", path="i", form="folder", groups=groups)
    assert refused("data", dataset="shapes").removeprefix("g.csv: ").startswith(reason)


NAMES = {
    "a class missing": (b"red_circle: r\ngreen_bar: g\nblue_dot: b\n", "lacks grey cross (classes: blue dot,"),
    "a class too many": (b"red_circle: r\ngreen_bar: g\nblue_dot: b\ngrey_cross: x\ncat: c\n", "has too much: cat"),
    "one class twice": (b"red_circle: r\nred circle: s\n", "the classes 'red_circle' and 'red circle' read the same"),
    "two of one name but for case": (
        b"red_circle: r\ngreen_bar: R\nblue_dot: b\ngrey_cross: x\n",
        "red circle and green bar are called the same, 'r' and 'R'",
    ),
    "a class that is null": (b"red_circle: r\nnull: g\n", 'line 2: null is no text to YAML; quote it: "null"'),
    "braces": (
        b"red_circle: a {}\ngreen_bar: g\nblue_dot: b\ngrey_cross: x\n",
        "red circle = 'a {}': braces are filled in `prompt` alone; write the name itself",
    ),
    "two of one name": (
        b"red_circle: r\ngreen_bar: r\nblue_dot: b\ngrey_cross: x\n",
        "red circle and green bar are ca",
    ),
    "a number for a name": (
        b"red_circle: 3\ngreen_bar: g\nblue_dot: b\ngrey_cross: x\n",
        'line 1: 3 is no text to YAML; quote it: "3"',
    ),
    "not YAML": (b"red_circle: [", "not valid YAML: "),
    "not UTF-8": (b"\xff", "not UTF-8 text (invalid start byte at byte 0)"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_wrong_file_of_names_is_refused_before_any_work(here, refused, case):
    content, reason = NAMES[case]
    (here / "n.yaml").write_bytes(content)
    params = copy.deepcopy(project.PARAMS)
    params["datasets"]["shapes"]["class_names"] = {"path": "n.yaml", "sha256": sha256(here / "n.yaml")}
    project.write_params(here, params)
    assert refused("resolve").startswith(f"n.yaml: {reason}")


def test_a_changed_file_of_names_is_noticed_by_the_check(here, refused):
    params = copy.deepcopy(project.PARAMS)
    params["datasets"]["shapes"]["class_names"] = {"path": "params.yaml", "sha256": "0" * 64}
    project.write_params(here, params)
    assert refused("resolve").startswith("params.yaml: sha256 is ")
