"""Pickles: CIFAR's are admitted, anything else is refused before it is called."""

import collections
import io
import os
import pickle
import pickletools

import numpy as np
import pytest

from ulfine.data.unpickle import ADMITTED, unpickled


def load(content: bytes) -> object:
    return unpickled(io.BytesIO(content), "a file")


VALUES = {
    "data": np.arange(24, dtype=np.uint8).reshape(2, 12),
    "labels": [1, 2, 3],
    "more": (np.arange(3.0), np.array([[1, -2]], ">i2"), np.asfortranarray(np.eye(2, 3)), True, None, b"\xff\0", 2.5),
    "one": np.int64(7),
}


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize("numpy", [b"numpy.core", b"numpy._core"])
def test_plain_values_and_arrays_of_numbers_come_back(protocol, numpy):
    """Pickles as NumPy 1 and NumPy 2 write them; from protocol 4 on a name is preceded by its length."""
    content = pickle.dumps(VALUES, protocol)
    content = content.replace(b"\x16numpy._core", bytes([11 + len(numpy)]) + numpy).replace(b"numpy._core", numpy)
    found = load(content)
    assert (found["data"] == VALUES["data"]).all() and found["data"].dtype == np.uint8
    assert found["labels"] == [1, 2, 3] and found["one"] == 7
    for one, other in zip(found["more"], VALUES["more"], strict=True):
        assert np.array_equal(one, other)


def test_the_pickles_of_python_2_come_back():
    """{'data': array([[1, 2], [3, 4]], uint8), 'labels': [0, 1]} as CIFAR's authors wrote it: text for bytes."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85q\x04U\x01bq\x05\x87q\x06Rq\x07"
        b"(K\x01K\x02K\x02\x86q\x08cnumpy\ndtype\nq\tU\x02u1q\nK\x00K\x01\x87q\x0bRq\x0c"
        b"(K\x03U\x01|q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U\x04\x01\x02\xff\x04q\x0ftq\x10b"
    )
    found = load(b"\x80\x02}q\x01(U\x04dataq\x11" + array + b"U\x06labelsq\x12]q\x13(K\x00K\x01eu.")
    assert found["data"].tolist() == [[1, 2], [255, 4]] and found["labels"] == [0, 1]


class Reduced:
    """Pickles as a function call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def marked() -> None:
    raise AssertionError("a pickle has called a function")


HOSTILE = {
    "a command": (Reduced(os.system, ("false",)), r"wants (posix|nt)\.system"),
    "eval": (Reduced(eval, ("1",)), "wants (builtins|__builtin__).eval, which is not admitted"),
    "a function of a test": (Reduced(marked, ()), r"wants [\w.]+\.marked, which is not admitted"),
    "a chain": (Reduced(getattr, (Reduced(getattr, ("x", "y")), "z")), "wants (builtins|__builtin__).getattr"),
    "within a call": (Reduced(np.dtype, (Reduced(marked, ()),)), r"wants [\w.]+\.marked, which is not admitted"),
    "within a container": ({"labels": [1, (Reduced(marked, ()),)]}, r"wants [\w.]+\.marked, which is not admitted"),
    "another class": (collections.OrderedDict(a=1), "wants collections.OrderedDict"),
    "objects": (np.array([None, {}], object), "wants an array of the type 'O8', which is not admitted"),
    "fields": (np.zeros(2, [("a", "u1"), ("b", "O")]), "wants an array of the type 'V9', which is not admitted"),
    "text": (np.array(["a"]), "wants an array of the type 'U1', which is not admitted"),
    "dates": (np.array(["2020"], "M8[D]"), "wants an array of the type 'M8', which is not admitted"),
    "a function of NumPy": (Reduced(np.load, ("file", None, True)), r"wants numpy.*load, which is not admitted"),
    "memory of any size": (Reduced(np.ndarray, ((2**40,), "O")), "not a readable pickle"),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", HOSTILE)
def test_everything_else_is_refused_by_name(name, protocol):
    value, message = HOSTILE[name]
    with pytest.raises(ValueError, match=f"^a file: {message}"):
        load(pickle.dumps(value, protocol))


ARRAY = pickle.dumps(np.arange(3, dtype=np.uint8), 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable pickle"),
        (b"\xff\xfe", "not a readable pickle"),
        (ARRAY[:-9], "not a readable pickle"),
        (b"\x80\x02Nr\x00\x00\x00\x10.", None),  # a place for 2 ** 28 values, which C's unpickler would make: 4 GB
        (b"\x80\x04\x8e" + b"\xff" * 6 + b"\x00\x00.", "not a readable pickle"),
        (b"\x80\x05\x96\0\0\0\0\x10\0\0\0.", "not a readable pickle"),  # an array of 2 ** 36 bytes
        (b"(i__main__\nx\n.", "wants __main__.x, which is not admitted"),
        (b"\x82\x01.", "not a readable pickle"),
        (b"Pid\n.", "not a readable pickle"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0ddtype.__new__\x93.", r"wants numpy.dtype.__new__, which is not admitted"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.", "wants the encoding 'hex'"),
        (ARRAY.replace(b"K\x03\x85", b"K\x04\x85"), "not a readable pickle"),  # four elements in three bytes
        (ARRAY.replace(b"u1", b"u3"), "wants an array of the type 'u3'"),
    ],
)
def test_a_damaged_pickle_is_refused_in_one_line(content, message):
    if message is None:
        assert load(content) is None
        return
    with pytest.raises(ValueError, match=f"^a file: {message}") as caught:
        load(content)
    assert "\n" not in str(caught.value)


def test_a_type_cannot_be_turned_into_one_with_fields_nor_an_array_into_objects():
    for state in (
        (3, "|", None, ("a",), {"a": (np.dtype("u1"), 0)}, 1, 1, 0),
        (3, "|", (np.dtype("u1"), (2,)), None, None, 1, 1, 0),
        (3, "!", None, None, None, -1, -1, 0),
    ):
        with pytest.raises(ValueError, match="structured type"):
            load(pickle.dumps(Reduced(np.dtype, ("u1",), state), 2))
    for state, message in (
        ((1, (1,), np.dtype("u1"), False, [marked]), "marked"),
        ((1, (1,), np.dtype("u1"), False, [1]), "an array of objects"),
        ((1, (1,), "O", False, b"\0" * 8), "type is not one"),
    ):
        with pytest.raises(ValueError, match=message):
            load(pickle.dumps(Reduced(np.arange(1).__reduce__()[0], (np.ndarray, (0,), b"b"), state), 2))


@pytest.mark.parametrize(
    "named", [b"c_codecs\nencode\n", b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\nscalar\n", b"]"]
)
def test_only_what_a_pickle_has_made_takes_attributes(named):
    """BUILD with (None, {'__defaults__': ('latin1',)}) would last for all later pickles."""
    state = b"(N}X\x0c\0\0\0__defaults__(X\x06\0\0\0latin1tst"
    with pytest.raises(ValueError, match=r"^a file: wants to set attributes of a (function|type|list), which is not"):
        load(named + state + b"b.")
    assert ADMITTED["_codecs", "encode"].__defaults__ is None


def test_random_damage_raises_one_line_or_gives_a_value():
    whole, rng, refused = pickle.dumps(VALUES, 2), np.random.default_rng(0), 0
    assert sum(1 for _ in pickletools.genops(whole)) > 50
    for _ in range(500):
        content = bytearray(whole)
        content[rng.integers(0, len(whole))] = rng.integers(0, 256)
        try:
            load(bytes(content))
        except ValueError as error:
            refused += 1
            assert str(error).startswith("a file: ") and str(error).isprintable()
    assert refused > 100
