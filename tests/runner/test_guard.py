import pytest

from ulfine.runner.guard import StoppedError, stop_behind


def test_a_stop_is_found_behind_the_error_that_a_library_makes_of_it():
    with pytest.raises(RuntimeError) as caught:
        try:
            raise StoppedError(130)
        finally:
            raise RuntimeError("unexpected pos 64")  # as torch.save, which closes its file
    assert stop_behind(caught.value).code == 130
    assert stop_behind(ValueError("wrong")) is None
