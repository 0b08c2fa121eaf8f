import numpy as np
import pytest

from ulfine.data.features import Filling


def test_a_complete_array_is_written_by_index(tmp_path):
    filling = Filling(tmp_path / "a.npy", (2, 3, 4))
    filling.put(3, np.ones((3, 4)))
    filling.put(1, np.full((2, 4), 2))
    filling.put(0, np.full((1, 4), 3))
    filling.close()
    assert np.load(tmp_path / "a.npy")[..., 0].tolist() == [[3, 2, 2], [1, 1, 1]]


@pytest.mark.parametrize("starts", [[0], [0, 1]])
def test_a_row_left_out_or_written_twice_is_an_error(tmp_path, starts):
    filling = Filling(tmp_path / "a.npy", (3, 4))
    for first in starts:
        filling.put(first, np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"a\.npy: 1 of 3 rows were not written exactly once"):
        filling.close()
