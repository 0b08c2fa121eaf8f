from ulfine.runner.provenance import changed


def test_changed_keys_are_named_and_2_is_2_0():
    before = {"train": {"lr": 0.1, "steps": 2, "losses": {"labeled": 1}}, "gone": 1}
    now = {"train": {"steps": 2.0, "lr": 0.2, "losses": {"labeled": 1, "unlabeled": None}}}
    assert changed(before, now) == ["gone", "train.losses.unlabeled", "train.lr"]
    assert changed(before, before) == []
    assert changed({"a": {"b": 1}}, {"a": 1}) == ["a"]
