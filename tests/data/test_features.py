import numpy as np
import pytest

from ulfine.data.features import Filling


def test_a_complete_array_is_written_by_index(tmp_path):
    filling = Filling(tmp_path / "a.npy", (2, 3, 4))
    filling.put((1, slice(0, 3)), np.ones((3, 4)))
    filling.put((0, slice(1, 3)), np.full((2, 4), 2))
    filling.put((0, slice(0, 1)), np.full((1, 4), 3))
    filling.close()
    assert np.load(tmp_path / "a.npy")[..., 0].tolist() == [[3, 2, 2], [1, 1, 1]]


@pytest.mark.parametrize("rows", [[slice(0, 2)], [slice(0, 2), slice(1, 3)]])
def test_a_row_left_out_or_written_twice_is_an_error(tmp_path, rows):
    filling = Filling(tmp_path / "a.npy", (3, 4))
    for part in rows:
        filling.put(part, np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"a\.npy: 1 of 3 rows were not written exactly once"):
        filling.close()
