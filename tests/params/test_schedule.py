from ulfine.params.schedule import Schedule


def test_an_unlabeled_picture_is_seen_twice():
    assert Schedule(steps=10, batch_size=16, unlabeled_ratio=7).views() == 10 * (16 + 7 * 32)
    assert Schedule(steps=10, batch_size=4, unlabeled_ratio=0).views() == 40
