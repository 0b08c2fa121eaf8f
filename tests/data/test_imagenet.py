import pickle
import shutil
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.project import ROOT
from ulfine.data.imagenet import class_counts, grouped, load, read_groups
from ulfine.data.store import Counts
from ulfine.files import read_csv, sha256
from ulfine.params.dataset import CheckedFile, ImageNetSource

FACTS = ROOT / "assets/imagenet127.csv"
HEADER = "synset,downsampled_label,group,name\n"


def checked(path) -> CheckedFile:
    return CheckedFile(path=str(path), sha256=sha256(path))


def test_the_127_groups_are_those_that_are_published():
    """Sizes and names are those of Huh et al.'s label set; members are from their list of validation pictures."""
    rows = read_csv(FACTS)
    assert len(rows) == len({row["synset"] for row in rows}) == 1000
    assert sorted(int(row["downsampled_label"]) for row in rows) == list(range(1, 1001))
    sizes = Counter(row["name"] for row in rows)
    assert len(sizes) == 127 and sizes.most_common(1) == [("mammal", 218)]
    name = {row["synset"]: row["name"] for row in rows}
    published = {
        "n03478589": "military vehicle",  # half track, also a container
        "n04532106": "gown",  # vestment, also a covering
        "n04049303": "cistern",  # rain barrel, also a container
        "n02916936": "covering",  # bulletproof vest, also a garment
        "n04552348": "heavier-than-air craft",  # warplane, also a military vehicle
        "n03776460": "structure",  # mobile home, also a container
        "n04179913": "home appliance",  # sewing machine, also a device
        "n09421951": "bar",  # sandbar, also a geological formation
    }
    assert {synset: name[synset] for synset in published} == published


def test_labels_of_downsampled_imagenet_are_in_the_order_of_its_authors():
    by_label = {int(row["downsampled_label"]): row["synset"] for row in read_csv(FACTS)}
    assert [by_label[label] for label in (1, 2, 3)] == ["n02119789", "n02100735", "n02110185"]  # kit fox, setter, husky


def test_groups_are_in_the_order_of_their_synsets(tmp_path):
    (tmp_path / "g.csv").write_text(HEADER + "n00000009,1,n2,bird\nn00000003,3,n1,fish\nn00000004,7,n2,bird\n")
    groups = read_groups(checked(tmp_path / "g.csv"))
    assert groups.names == ["fish", "bird"]
    assert groups.by_synset == {"n00000009": 1, "n00000003": 0, "n00000004": 1}
    assert grouped(np.array([7, 3, 3, 1]), groups).tolist() == [1, 0, 0, 1]
    for wrong in (0, 2, 8, -1):
        with pytest.raises(ValueError, match=f"label {wrong} is none of the 3 labels of the groups"):
            grouped(np.array([7, wrong]), groups)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "needs at least two groups"),
        ("n00000001,1,g,a\nn00000002,2,g,a\n", "needs at least two groups"),
        ("n00000001,1,g,a\nn00000002,2,h,A\n", "the classes 'a' and 'A' read the same: case, underscores"),
        ("cat,1,g,a\n", "line 2: 'cat,1,g,a' is not like n01440764,449,group,name"),
        ("n00000001,one,g,a\n", "line 2: 'n00000001,one,g,a' is not like"),
        ("n00000001,1,g\n", "line 2: needs the columns synset, downsampled_label, group, name"),
        ("n00000001,1,g,a\nn00000001,2,h,b\n", "line 3: n00000001, 2, or the group of another name, is there"),
        ("n00000001,1,g,a\nn00000002,1,h,b\n", "line 3: n00000002, 1, or the group"),
        ("n00000001,1,g,a\nn00000002,2,g,b\n", "line 3: n00000002, 2, or the group"),
    ],
)
def test_a_wrong_file_of_groups_is_refused_by_line(tmp_path, rows, message):
    (tmp_path / "g.csv").write_text(HEADER + rows)
    with pytest.raises(ValueError, match=message) as caught:
        read_groups(checked(tmp_path / "g.csv"))
    assert str(caught.value).startswith(str(tmp_path / "g.csv"))


def test_a_group_is_the_same_in_either_unicode_form_of_its_name(tmp_path):
    rows = "n00000001,1,g,caf\u00e9\nn00000002,2,g,cafe\u0301\nn00000003,3,h,bar\n"
    (tmp_path / "g.csv").write_text(HEADER + rows)
    groups = read_groups(checked(tmp_path / "g.csv"))
    assert groups.names == ["caf\u00e9", "bar"] and groups.by_label == {1: 0, 2: 0, 3: 1}


def test_a_changed_file_of_groups_is_noticed():
    with pytest.raises(ValueError, match=r"imagenet127\.csv: sha256 is [0-9a-f]{64}, params\.yaml expects 0{64}"):
        read_groups(CheckedFile(path=str(FACTS), sha256="0" * 64))


SYNSETS = ("n00000003", "n00000004", "n00000009")  # of fish, bird, bird


@pytest.fixture
def source(tmp_path):
    """Make a source of three synsets in two groups, in the folder `pictures`."""
    (tmp_path / "g.csv").write_text(HEADER + "n00000009,1,n2,bird\nn00000003,3,n1,fish\nn00000004,2,n2,bird\n")

    def make(form: str) -> ImageNetSource:
        (tmp_path / "pictures").mkdir(exist_ok=True)
        groups = checked(tmp_path / "g.csv")
        path = str(tmp_path / "pictures")
        return ImageNetSource(kind="imagenet", path=path, form=form, groups=groups, licence="none")

    return make


def write_folders(folder: Path) -> None:
    """Make 3, 2 and 1 training pictures of the synsets and one of each for validation, grey by synset and number."""
    for part, sizes in (("train", (3, 2, 1)), ("val", (1, 1, 1))):
        for k, (synset, size) in enumerate(zip(SYNSETS, sizes, strict=True)):
            (folder / part / synset).mkdir(parents=True)
            for number in range(size):
                grey = Image.new("RGB", (9, 8), (100 * (part == "val") + 10 * k + number,) * 3)
                grey.save(folder / part / synset / f"{synset}_{number}.JPEG", quality=100)


def test_folders_of_synsets_become_groups(source):
    found = source("folder")
    write_folders(Path(found.path))
    assert load(found, 8).stops and not load(found.model_copy(update={"broken": "skip"}), 8).stops
    assert class_counts(found) == Counts([3, 3], 0)
    loaded = load(found, 8)
    assert loaded.classes == ["fish", "bird"]
    assert loaded.parts["train"].labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert [int(picture[0, 0, 0]) for picture in loaded.parts["train"].pictures] == [0, 1, 2, 10, 11, 20]
    assert loaded.parts["test"].labels.tolist() == [0, 1, 1]
    assert [int(picture[0, 0, 0]) for picture in loaded.parts["test"].pictures] == [100, 110, 120]


def test_folders_that_are_not_those_of_the_groups_are_refused(source):
    found = source("folder")
    write_folders(Path(found.path))
    val = Path(found.path, "val")
    (val / "n00000009").rename(val / "n00000005")
    with pytest.raises(ValueError, match=r"val: lacks n00000009, and 0 more; it needs a folder for each synset"):
        load(found, 8)
    shutil.copytree(val / "n00000005", val / "n00000009")
    with pytest.raises(ValueError, match=r"val: is in no group: n00000005, and 0 more"):
        load(found, 8)


def batches(number: int = 4) -> dict[str, dict]:
    """Return the files of downsampled ImageNet at 8 pixels, `number` pictures each."""
    rng = np.random.default_rng(0)
    names = [*(f"train_data_batch_{batch}" for batch in range(1, 11)), "val_data"]
    labels = rng.integers(1, 4, (len(names), number))
    data = rng.integers(0, 256, (len(names), number, 3 * 8 * 8), np.uint8)
    return {name: {"data": data[i], "labels": labels[i].tolist()} for i, name in enumerate(names)}


def write_pickles(folder: Path, content: dict[str, dict]) -> None:
    for name, batch in content.items():
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


def write_npz(folder: Path, content: dict[str, dict]) -> None:
    for name, batch in content.items():
        np.savez_compressed(folder / f"{name}.npz", data=batch["data"], labels=np.array(batch["labels"]))


def write_zips(folder: Path, content: dict[str, dict]) -> None:
    """The layout as published: two archives of training batches, inside a folder, and one for validation."""
    write_npz(folder, content)
    for number, path in enumerate(sorted(folder.glob("*.npz"))):
        part = "val" if path.stem == "val_data" else f"train_part{1 + number % 2}"
        with zipfile.ZipFile(folder / f"Imagenet64_{part}_npz.zip", "a") as archive:
            archive.write(path, f"Imagenet64_{part}_npz/{path.name}")
        path.unlink()


@pytest.mark.parametrize("write", [write_pickles, write_npz, write_zips])
def test_archives_of_downsampled_imagenet_become_groups(source, write):
    found, content = source("downsampled"), batches()
    write(Path(found.path), content)
    assert class_counts(found) is None
    loaded = load(found, 8)
    group = {1: 1, 2: 1, 3: 0}
    train = [content[f"train_data_batch_{batch}"] for batch in range(1, 11)]
    assert loaded.parts["train"].labels.tolist() == [group[label] for batch in train for label in batch["labels"]]
    expected = np.concatenate([batch["data"] for batch in train]).reshape(-1, 3, 8, 8).transpose(0, 2, 3, 1)
    assert (np.stack(list(loaded.parts["train"].pictures)) == expected).all()
    assert loaded.parts["test"].labels.tolist() == [group[label] for label in content["val_data"]["labels"]]
    assert len(list(loaded.parts["test"].pictures)) == 4


def edit(name: str, **changes):
    """Write pickled batches, one of them with other content."""

    def write(folder: Path) -> None:
        content = batches()
        content[name] |= changes
        write_pickles(folder, content)

    return write


def lose(folder: Path) -> None:
    write_npz(folder, batches())
    (folder / "train_data_batch_7.npz").unlink()


def double(folder: Path) -> None:
    write_npz(folder, batches())
    (folder / "val_data").write_bytes(b"")


def cut(folder: Path) -> None:
    write_npz(folder, batches(number=2000))
    path = folder / "train_data_batch_2.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.npy", npy(np.ones(2000, np.int64)))
        archive.writestr("data.npy", npy(np.zeros((2000, 192), np.uint8))[:-1])


def npy(array: np.ndarray) -> bytes:
    path = Path("array.npy")
    np.save(path, array)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lose, r"pictures: train_data_batch_7: missing; needed once, as it is, as \.npz, or inside a \.zip"),
        (double, r"pictures: val_data: .*/val_data and .*/val_data\.npz; needed once"),
        (edit("val_data", labels=[1, 2, 3, 4]), "val_data: label 4 is none of the 3 labels of the groups"),
        (edit("val_data", labels=[1, 2, 0, 3]), "val_data: label 0 is none of"),
        (edit("val_data", labels=[1, 2, 3]), "val_data: has 4 pictures, but 3 labels"),
        (edit("val_data", labels="123"), "val_data: labels are <U3 of shape"),
        (
            edit("val_data", data=np.zeros((4, 191), np.uint8)),
            r"val_data: data is uint8 of shape \(4, 191\), not uint8",
        ),
        (edit("val_data", data=np.zeros((4, 192), np.float32)), r"val_data: data is float32 of shape"),
        (edit("val_data", data=None), "val_data: data is object of shape"),
        (cut, r"train_data_batch_2\.npz: "),
    ],
)
def test_what_is_wrong_with_an_archive_is_named(source, monkeypatch, tmp_path, spoil, message):
    monkeypatch.chdir(tmp_path)
    found = source("downsampled")
    spoil(Path(found.path))
    with pytest.raises(ValueError, match=message) as caught:
        for part in load(found, 8).parts.values():
            list(part.pictures)
    assert str(caught.value).count("val_data: ") <= 1
