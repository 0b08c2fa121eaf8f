"""Damaged and hostile archives: the data stage names what is wrong, and leaves no store."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from tests.helpers.pictures import ARRAYS
from tests.hostile.conftest import use
from ulfine.files import sha256

OBJECTS = np.array([{"a": 1}, None], object)
NPZ = {
    "labels missing": ({"train_labels": None}, "has no array train_labels (needed: classes, train_images,"),
    "names missing": ({"classes": None}, "has no array classes"),
    "objects for names": ({"classes": OBJECTS}, "classes: Object arrays cannot be loaded when allow_pickle=False"),
    "objects for pictures": (
        {"test_images": OBJECTS},
        "test_images: Object arrays cannot be loaded when allow_pickle=F",
    ),
    "objects for labels": ({"train_labels": OBJECTS}, "train_labels: Object arrays cannot be loaded"),
    "numbers for names": (
        {"classes": np.arange(2)},
        "classes: has the shape (2,) and the type int64, must be one-dimens",
    ),
    "one name": ({"classes": np.array("shoe")}, "classes: has the shape () and the type <U4, must be one-dimensional"),
    "names in rows": (
        {"classes": np.array([["a", "b"]])},
        "classes: has the shape (1, 2) and the type <U1, must be one-d",
    ),
    "a name twice": ({"classes": np.array(["bag", "bag"])}, "classes: the classes 'bag' and 'bag' read the same"),
    "pictures of floats": (
        {"train_images": np.zeros((4, 8, 8))},
        "train_images: has the shape (4, 8, 8) and the type floa",
    ),
    "flat pictures": (
        {"train_images": np.zeros((4, 64), np.uint8)},
        "train_images: has the shape (4, 64) and the type uin",
    ),
    "four channels": ({"train_images": np.zeros((4, 8, 8, 4), np.uint8)}, "train_images: has the shape (4, 8, 8, 4)"),
    "pictures of no pixel": ({"train_images": np.zeros((4, 0, 8), np.uint8)}, "train_images: has the shape (4, 0, 8)"),
    "one label short": ({"train_labels": np.zeros(3, int)}, "train_images: has 4 pictures, train_labels has 3"),
    "labels of floats": (
        {"train_labels": np.zeros(4)},
        "train_labels: has the shape (4,) and the type float64, must be",
    ),
    "labels in rows": ({"train_labels": np.zeros((2, 2), int)}, "train_labels: has the shape (2, 2)"),
    "no labels": ({"test_labels": np.zeros(0, int)}, "test_labels: is empty"),
    "a label too large": ({"train_labels": np.array([0, 0, 1, 2])}, "train_labels: holds 0 to 2, must be 0 to 1"),
    "a label below zero": ({"train_labels": np.array([0, 0, 1, -1])}, "train_labels: holds -1 to 1, must be 0 to 1"),
}


@pytest.mark.parametrize("case", NPZ)
def test_an_archive_of_wrong_arrays_is_refused(here, refused, case):
    changes, reason = NPZ[case]
    np.savez("a.npz", **{name: array for name, array in (ARRAYS | changes).items() if array is not None})
    use(here, kind="npz", path="a.npz", sha256=sha256(here / "a.npz"))
    assert refused("data", dataset="shapes").startswith(f"a.npz: {reason}")


def whole() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **ARRAYS)
    return file.getvalue()


def with_member(content: bytes) -> bytes:
    """Write the archive with its train_labels replaced."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole())) as before, zipfile.ZipFile(file, "w") as after:
        for info in before.infolist():
            after.writestr(info.filename, content if info.filename == "train_labels.npy" else before.read(info))
    return file.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


SAYS = "{'descr': '|u1', 'fortran_order': False, 'shape': (%d,)}\n"
NO_ZIP = "not a .npz file"
DAMAGED = {
    "nothing": (b"", NO_ZIP),
    "text": (b"no", NO_ZIP),
    "a pickle": (pickle.dumps(ARRAYS), NO_ZIP),
    "cut": (whole()[:-30], NO_ZIP),
    "a member that is text": (with_member(b"no"), "train_labels: not an array"),
    "a member that is empty": (with_member(b""), "train_labels: not an array"),
    "a member that is a pickle": (with_member(pickle.dumps([0, 0, 1, 1])), "train_labels: not an array"),
    "a header cut": (with_member(b"\x93NUMPY\x01\x00\xff"), "train_labels: EOF: reading array header length"),
    "a header of code": (with_member(header("__import__('os').system('touch hit')\n")), "train_labels: malformed node"),
    "more numbers than memory": (with_member(header(SAYS % 10**14)), "train_labels: Unable to allocate 90.9 TiB"),
    "numbers below zero": (with_member(header(SAYS % -4)), "train_labels: negative dimensions are not allowed"),
    "fewer numbers than it says": (with_member(header(SAYS % 4) + b"12"), "train_labels: EOF: reading array data"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_archive_is_refused(here, refused, case):
    content, reason = DAMAGED[case]
    (here / "a.npz").write_bytes(content)
    use(here, kind="npz", path="a.npz", sha256=sha256(here / "a.npz"))
    assert refused("data", dataset="shapes").startswith(f"a.npz: {reason}")


BATCHES = [f"train_data_batch_{number}" for number in range(1, 11)] + ["val_data"]
DATA = np.zeros((2, 3 * 8 * 8), np.uint8)


def batch(**changes: object) -> dict:
    return {"data": DATA, "labels": [1, 2]} | changes


def written(**arrays: object) -> bytes:
    """Write a batch as .npz; bytes become a member as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in batch(**arrays).items():
            member = io.BytesIO()
            np.save(member, array)
            archive.writestr(f"{name}.npy", array if isinstance(array, bytes) else member.getvalue())
    return file.getvalue()


def pickled(value: object) -> bytes:
    """As in the published archives, of Python 2; newer protocols take arrays apart in another way."""
    return pickle.dumps(value, 2)


DOWNSAMPLED = {
    "a pickle of a command": (
        "val_data",
        b"cos\nsystem\n(S'touch hit'\ntR.",
        "i/val_data: wants os.system, which is not adm",
    ),
    "no pickle": ("val_data", b"<html>", "i/val_data: not a readable pickle"),
    "a pickle cut": ("val_data", pickled(batch())[:-20], "i/val_data: not a readable pickle"),
    "a list": ("val_data", pickled([1]), "i/val_data: no dictionary with data and labels"),
    "no labels": ("val_data", pickled({"data": DATA}), "i/val_data: labels are object of shape ()"),
    "a label of nobody": (
        "val_data",
        pickled(batch(labels=[1, 3])),
        "i/val_data: label 3 is none of the 2 labels",
    ),
    "a label beyond memory": ("val_data", pickled(batch(labels=[1, 2**60])), "i/val_data: label 11529215046068"),
    "no .npz": ("val_data.npz", b"no", "i/val_data.npz: File is not a zip file"),
    "labels beyond memory": (
        "val_data.npz",
        written(labels=header(SAYS % 10**14)),
        "i/val_data.npz: Unable to allocate",
    ),
    "pictures beyond their labels": (
        "val_data.npz",
        written(data=np.zeros((3, 192), np.uint8)),
        "i/val_data.npz: has 3 p",
    ),
    "pictures of no square": (
        "val_data.npz",
        written(data=DATA[:, :-1]),
        "i/val_data.npz: data is uint8 of shape (2, 191)",
    ),
    "objects": ("val_data.npz", written(labels=OBJECTS), "i/val_data.npz: Object arrays cannot be loaded"),
    "there twice": ("val_data.npz", written(), "i: val_data: i/val_data and i/val_data.npz; needed once"),
}


@pytest.mark.parametrize("case", DOWNSAMPLED)
def test_a_batch_of_downsampled_imagenet_that_is_wrong_is_refused(here, refused, case):
    name, content, reason = DOWNSAMPLED[case]
    (here / "g.csv").write_text("synset,downsampled_label,group,name\nn00000001,1,g,a\nn00000002,2,h,b\n")
    (here / "i").mkdir()
    for other in BATCHES:
        if other != name.removesuffix(".npz") or case == "there twice":
            (here / "i" / other).write_bytes(pickled(batch()))
    (here / "i" / name).write_bytes(content)
    groups = {"path": "g.csv", "sha256": sha256(here / "g.csv")}
    use(here, kind="imagenet", path="i", form="downsampled", groups=groups)
    assert refused("data", dataset="shapes").startswith(reason)
