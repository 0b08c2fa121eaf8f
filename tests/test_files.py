import numpy as np
import pytest

from ulfine.arrays import open_array, read_tensors, write_tensors
from ulfine.files import digest, new_file, new_folder, read_json, write_csv, write_json


def test_a_folder_appears_whole_and_replaces_the_old_one(tmp_path):
    target = tmp_path / "a/b"
    for text in ("one", "two"):
        with new_folder(target) as part:
            (part / f"{text}.txt").write_text(text)
            assert not (target / f"{text}.txt").exists()
    assert [path.name for path in target.iterdir()] == ["two.txt"]
    assert [path.name for path in target.parent.iterdir()] == ["b"]


def test_a_failure_leaves_the_old_folder_and_nothing_half_made(tmp_path):
    target = tmp_path / "b"
    with new_folder(target) as part:
        (part / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), new_folder(target) as part:
        (part / "new.txt").write_text("new")
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["b", "old.txt"]


def test_a_failure_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(target, {"a": float("nan")})
    with pytest.raises(RuntimeError), new_file(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert read_json(target) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_json_has_one_form(tmp_path):
    for name, values in (("a", {"b": 1, "a": [1.5]}), ("b", {"a": [1.5], "b": 1})):
        write_json(tmp_path / name, values)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_none_is_an_empty_field(tmp_path):
    write_csv(tmp_path / "a.csv", [{"a": 1, "b": None}, {"a": 0.1, "b": "x,y"}])
    assert (tmp_path / "a.csv").read_text() == 'a,b\n1,\n0.1,"x,y"\n'


def test_a_digest_knows_values_not_their_order_or_type():
    assert digest({"a": 2, "b": [1.0, "x"]}) == digest({"b": [1, "x"], "a": 2.0})
    assert digest({"a": 2}) != digest({"a": 3})
    assert digest({"a": True}) != digest({"a": 1.0})


def test_tensors_come_back_with_their_shapes_and_the_same_bytes(tmp_path):
    tensors = {"b": np.arange(6, dtype=np.float32).reshape(2, 3).T, "a": np.array(1.5, np.float32)}
    write_tensors(tmp_path / "a", tensors)
    write_tensors(tmp_path / "b", dict(reversed(tensors.items())))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    found = read_tensors(tmp_path / "a")
    assert found["a"].shape == () and (found["b"] == tensors["b"]).all()


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_truncated_files_are_named(tmp_path, keep):
    np.save(tmp_path / "a.npy", np.arange(100.0))
    write_tensors(tmp_path / "a.safetensors", {"a": np.arange(100.0)})
    write_json(tmp_path / "a.json", list(range(100)))
    for name, read in (("a.npy", open_array), ("a.safetensors", read_tensors), ("a.json", read_json)):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ValueError, match=rf"{name}: .*delete it and run again"):
            read(path)


def test_pickled_arrays_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"a\.npy"):
        open_array(tmp_path / "a.npy")
