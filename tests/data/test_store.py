"""The array store: its files, the pictures left out, and the memory used."""

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from tests.helpers.pictures import folder_source, random_bytes, write_classes
from ulfine.data.sources import load
from ulfine.data.store import Broken, LeftOut, Loaded, Part, largest, open_store, write_store


def test_the_store_keeps_pictures_without_a_label(tmp_path):
    black = np.zeros((4, 4, 3), np.uint8)
    parts = {"train": Part(np.array([1, -1, -1, 0, 1]), iter([black] * 5)), "test": Part(np.array([0]), iter([black]))}
    write_store(tmp_path, Loaded(["ape", "bee"], "here", parts), 4, "none")
    store = open_store(tmp_path)
    assert store.labels["train"].tolist() == [1, -1, -1, 0, 1]
    assert store.meta["counts"] == {"train": [1, 2], "test": [1, 0]}
    assert store.meta["unlabeled"] == 2


def stored(folder, labels: list[int], pictures: list, left_out: tuple[int, int] = (0, 0)) -> dict:
    """Write a store whose test part is one picture of each of three classes; return meta.json."""
    test = Part(np.arange(3), iter(random_bytes(3, 4, 4, 3)))
    parts = {"train": Part(np.array(labels), iter(pictures)), "test": test}
    return write_store(folder, Loaded(["ape", "bee", "cat"], "here", parts, LeftOut(*left_out)), 4, "none")


def test_broken_pictures_leave_neither_row_nor_label(tmp_path):
    """Of 12 pictures 3 are left out: the header says 9, a digit less, and the file equals np.save's."""
    pixels = random_bytes(12, 4, 4, 3)
    pictures = [Broken(f"{i}.png", f"why {i}", "") if i in (0, 5, 11) else pixels[i] for i in range(12)]
    meta = stored(tmp_path, [0] * 4 + [1] * 3 + [2] * 3 + [-1] * 2, pictures, left_out=(7, 2))
    kept = [1, 2, 3, 4, 6, 7, 8, 9, 10]
    np.save(tmp_path / "expected.npy", pixels[kept])
    assert (tmp_path / "train_images.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    store = open_store(tmp_path)
    assert store.labels["train"].tolist() == [0, 0, 0, 1, 1, 2, 2, 2, -1]
    assert meta == store.meta and (meta["links"], meta["others"]) == (7, 2) and meta["unlabeled"] == 1
    assert meta["skipped"] == {"0.png": "why 0", "5.png": "why 5", "11.png": "why 11"}
    assert meta["counts"]["train"] == [3, 2, 3]
    assert meta["skipped_by_class"] == {"train": {"ape": 1, "bee": 1, "without a label": 1}, "test": {}}
    assert store.skipped == meta["skipped_by_class"]["train"]


def test_a_store_without_broken_pictures_has_the_bytes_that_numpy_writes(tmp_path):
    pixels = random_bytes(3, 4, 4, 3)
    meta = stored(tmp_path, [0, 1, 2], list(pixels))
    np.save(tmp_path / "expected.npy", pixels)
    assert (tmp_path / "train_images.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
    assert meta["skipped"] == {} and meta["links"] == meta["others"] == 0 and "skipped_by_class" not in meta
    assert open_store(tmp_path).skipped == {}


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"train": {1, 2}, "test": {0}}, "p/train 1.png: not a readable picture (why); 3 of 7 pictures cannot be read"),
        ({"train": set(), "test": {2}}, "p/test 2.png: not a readable picture (why); 1 of 7 pictures cannot be read"),
    ],
)
def test_pictures_that_cannot_be_read_stop_once_all_are_counted(tmp_path, capsys, where, message):
    def pictures(part: str, number: int) -> Iterator[np.ndarray | Broken]:
        for i, pixels in enumerate(random_bytes(number, 4, 4, 3)):
            line = f"p/{part} {i}.png: not a readable picture (why)"
            yield Broken(f"{part} {i}.png", "why", line) if i in where[part] else pixels

    sizes = {"train": 4, "test": 3}
    parts = {part: Part(np.arange(size) % 3, pictures(part, size)) for part, size in sizes.items()}
    with pytest.raises(ValueError) as caught:
        write_store(tmp_path, Loaded(["ape", "bee", "cat"], "here", parts, stops=True), 4, "none")
    assert str(caught.value) == f"{message}; broken: skip leaves such pictures out"
    first = message.partition(";")[0]
    assert f"{first}; looking at the others\n" in capsys.readouterr().err  # at once, as the rest may take an hour
    assert not (tmp_path / "meta.json").exists()


def test_a_long_list_of_classes_is_cut():
    counts = {"train": {"ape": 1, "bee": 9, "cat": 2, "dog": 2}, "test": {"ape": 4, "eel": 1, "fox": 1, "gnu": 1}}
    assert largest(counts) == "bee: 9, ape: 5, cat: 2, dog: 2, eel: 1, 2 more classes"


@pytest.mark.parametrize(
    ("labels", "broken", "message"),
    [
        ([0, 1, 1, 2], {1, 2}, r"none of the 2 train pictures of class 'bee' can be read; the first is 1\.png \(why\)"),
        ([0, 1, 2, -1], {3}, r"none of the 1 train pictures without a label can be read; the first is 3\.png"),
        ([0, 1, 2, 2], {0, 1, 2, 3}, "none of the 1 train pictures of class 'ape' can be read"),
    ],
)
def test_a_class_of_which_nothing_is_left_is_an_error(tmp_path, labels, broken, message):
    pixels = random_bytes(4, 4, 4, 3)
    pictures = [Broken(f"{i}.png", "why", "") if i in broken else pixels[i] for i in range(4)]
    with pytest.raises(ValueError, match=message):
        stored(tmp_path, labels, pictures)
    assert not (tmp_path / "meta.json").exists()


@pytest.mark.parametrize("number", [1, 3])
def test_more_or_fewer_pictures_than_labels_are_an_error(tmp_path, number):
    with pytest.raises(ValueError, match="zip"):
        stored(tmp_path, [0, 1], list(random_bytes(number, 4, 4, 3)))


def test_memory_does_not_grow_with_the_bytes_of_the_pictures(tmp_path):
    """From 40 to 200 pictures of 49 KB, peak memory grows by less than two pictures."""
    peaks = []
    for number in (40, 200):
        write_classes(tmp_path / f"p{number}", {"ape": number // 2, "bee": number // 2})
        (tmp_path / f"s{number}").mkdir()
        source = folder_source(tmp_path / f"p{number}", test_share=0.1)
        tracemalloc.start()
        write_store(tmp_path / f"s{number}", load(source, 128), 128, "none")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 2 * 128 * 128 * 3
