from ulfine.sums import total


def test_a_sum_is_rounded_at_each_step_on_every_python():
    assert total([1e16, 1.0, -1e16]) == 0.0
    assert total([0.1] * 10) == 0.9999999999999999
    assert total([]) == 0
