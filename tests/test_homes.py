"""`~` in the paths of params.yaml: expanded to the user's home, and recorded as written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.helpers.pictures import ARRAYS, folder_source, published_source, write_classes
from tests.helpers.project import TINY_CLIP
from ulfine.data.sentences import sentences
from ulfine.data.sources import class_counts, load
from ulfine.data.store import Counts, write_store
from ulfine.files import located, sha256
from ulfine.models.backbone import build
from ulfine.models.fetch import fetch
from ulfine.models.weights import require_unchanged
from ulfine.params.backbone import Backbone
from ulfine.params.dataset import ArraySource, CheckedFile, ImageNetSource

FORM = {"resolution": 32, "precision": "fp32", "feature_space": "pooled"}


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """Make a home for this user, outside the current folder."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def test_a_home_is_found_as_a_shell_finds_it(home):
    assert located("~") == home and located("~/a/~b") == home / "a/~b"
    assert located("~root/a") == Path("/root/a")
    assert located("~nobody-of-this-name/a") == Path("~nobody-of-this-name/a")
    assert located("$HOME/a") == Path("$HOME/a") and located("a/~") == Path("a/~")


def test_a_folder_in_a_home_is_read_and_what_is_broken_in_it_names_no_user(home, tmp_path):
    write_classes(home / "pets", {"ape": 8, "bee": 8})
    write_classes(home / "more", {"pool": 2})
    for broken in ("pets/ape/7.png", "more/pool/1.png"):
        (home / broken).write_bytes(b"no")
    source = folder_source("~/pets", unlabeled="~/more", test_share=0.25, broken="skip")
    assert class_counts(source) == Counts([6, 6], 2)
    meta = write_store(tmp_path, load(source, 8), 8, "none")
    assert list(meta["skipped"]) == ["ape/7.png", "~/more/pool/1.png"] and meta["source"] == "pets"
    assert str(home) not in json.dumps(meta)


def test_unlabeled_pictures_in_the_place_of_their_own_may_be_named_from_home(home):
    write_classes(home / "pets", {"ape": 2, "bee": 2, "unlabeled": 3})
    assert class_counts(folder_source("~/pets", unlabeled="~/pets/unlabeled", test_share=0.5)).unknown == 3


def test_an_archive_in_a_home_is_read(home):
    np.savez(home / "a.npz", **ARRAYS)
    source = ArraySource(kind="npz", path="~/a.npz", sha256=sha256(home / "a.npz"), licence="none")
    assert class_counts(source) == Counts([2, 2], 0)
    assert load(source, 8).origin == "~/a.npz"


def test_tables_in_a_home_are_read(home):
    (home / "names.yaml").write_text("shoe: boot\nbag: bag\n")
    names = CheckedFile(path="~/names.yaml", sha256=sha256(home / "names.yaml"))
    assert sentences(["shoe", "bag"], ["a {}"], names) == [["a boot"], ["a bag"]]
    (home / "g.csv").write_text(
        "synset,downsampled_label,group,name\nn00000003,3,n1,fish\nn00000009,1,n2,bird\nn00000004,2,n2,bird\n"
    )
    for synset, number in (("n00000003", 1), ("n00000004", 2), ("n00000009", 1)):
        write_classes(home / "imagenet/train", {synset: number})
    groups = CheckedFile(path="~/g.csv", sha256=sha256(home / "g.csv"))
    source = ImageNetSource(kind="imagenet", path="~/imagenet", form="folder", groups=groups, licence="none")
    assert class_counts(source) == Counts([1, 3], 0)
    archives = ImageNetSource(kind="imagenet", path="~/imagenet", form="downsampled", groups=groups, licence="none")
    with pytest.raises(ValueError, match=f"^{home}/imagenet: train_data_batch_1: missing"):
        class_counts(archives)


@pytest.mark.parametrize("name", ["Food101", "CIFAR10", "STL10", "SVHN", "FashionMNIST"])
def test_downloads_go_into_a_home(home, monkeypatch, name):
    def fetch(_: list[str], target: Path, *__: object) -> None:
        raise ValueError(str(target))

    monkeypatch.setattr("ulfine.data.published.fetch", fetch)
    with pytest.raises(ValueError, match=f"^{home}/data/"):
        load(published_source(name, "~/data"), 8)


def test_weights_in_a_home_are_found(home):
    torch.manual_seed(0)
    save_file(build(TINY_CLIP).state_dict(), home / "open_clip_model.safetensors")
    for name in ("tiny.json", "open_clip_config.json"):
        (home / name).write_text(json.dumps(TINY_CLIP))
    found = sha256(home / "open_clip_model.safetensors")
    of_file = {"model": "~/tiny.json", "pretrained": "~/open_clip_model.safetensors"}
    for named in (of_file, {"model": "local-dir:~"}):
        towers = fetch(Backbone(**named, sha256=found, **FORM))
        assert towers.checkpoints == {"open_clip_model.safetensors": found} and str(home) not in towers.origin
        with pytest.raises(ValueError, match=rf"{home}/open_clip_model\.safetensors: sha256 is {found}"):
            require_unchanged(Backbone(**named, sha256=64 * "0", **FORM))
