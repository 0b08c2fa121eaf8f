import pytest

from ulfine.params.inheritance import expanded, overlaid


@pytest.mark.parametrize(
    ("base", "changes", "found"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 4}}, {"a": 1, "b": {"c": 2, "d": 4}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"c": None}}, {"b": {}}),
        ({"a": 1}, {"a": {"b": 2, "c": None}}, {"a": {"b": 2}}),
        ({"a": {"b": 2}}, {"a": 1}, {"a": 1}),
        (
            {"adapter": {"kind": "vpt", "depth": "deep", "tokens": 3}},
            {"adapter": {"kind": "lora", "rank": 4}},
            {"adapter": {"kind": "lora", "rank": 4}},
        ),
        (
            {"adapter": {"kind": "vpt", "depth": "deep", "tokens": 3}},
            {"adapter": {"kind": "vpt", "depth": "shallow"}},
            {"adapter": {"kind": "vpt", "depth": "shallow", "tokens": 3}},
        ),
    ],
)
def test_changes_are_laid_over_a_base(base, changes, found):
    assert overlaid(base, changes) == found


def test_null_stays_in_what_will_be_laid_over_something_else():
    assert overlaid({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": None}}, partial=True) == {
        "a": None,
        "b": {"c": 2, "d": None},
    }


def methods(**found: dict) -> dict:
    return expanded({"methods": found})["methods"]


def test_a_method_begins_as_another_which_may_come_later_and_begin_as_a_third():
    found = methods(
        c={"extends": "b", "paf": {"mu": 0}},
        b={"extends": "a", "tune": "head", "train": {"lr": 2, "losses": {"unlabeled": None}}},
        a={
            "tune": "adapters",
            "adapter": {"kind": "bias"},
            "paf": {"mu": 1, "every": 5},
            "train": {"lr": 1, "n": 3},
        },
    )
    assert found["c"] == {
        "tune": "head",
        "adapter": {"kind": "bias"},
        "paf": {"mu": 0, "every": 5},
        "train": {"lr": 2, "n": 3, "losses": {"unlabeled": None}},
    }


def test_a_loss_that_a_method_drops_can_be_taken_back_by_one_that_extends_it():
    found = methods(
        a={"train": {"losses": {"unlabeled": None}}}, b={"extends": "a", "train": {"losses": {"unlabeled": 3}}}
    )
    assert found["b"]["train"] == {"losses": {"unlabeled": 3}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"ulfine": {}, "mine": {"extends": "ulfin"}},
            "methods.mine.extends = 'ulfin': is not in methods, did you mean ulfine? (allowed: ulfine, mine)",
        ),
        ({"a": {"extends": "a"}}, "methods.a.extends = 'a': goes round in a circle: a, a"),
        ({"a": {"extends": "b"}, "b": {"extends": "a"}}, "methods.b.extends = 'a': goes round in a circle: a, b, a"),
        ({"a": {"extends": ["b"]}}, "methods.a.extends = ['b']: is not in methods (allowed: a)"),
    ],
)
def test_a_parent_that_is_none_is_refused(found, said):
    with pytest.raises(ValueError) as caught:
        methods(**found)
    assert str(caught.value) == said


def test_splits_share_what_stands_under_split():
    dataset = {"split": {"n1": 5, "shape": "consistent"}, "splits": {"a": {}, "b": {"shape": "uniform", "n1": None}}}
    found = expanded({"datasets": {"d": dataset, "e": {"splits": {"a": {"n1": 1}}}}})["datasets"]
    assert found["d"] == {"splits": {"a": {"n1": 5, "shape": "consistent"}, "b": {"shape": "uniform"}}}
    assert found["e"] == {"splits": {"a": {"n1": 1}}}


@pytest.mark.parametrize(
    "values", [{"methods": 3}, {"methods": {"a": 3, "b": {"extends": "a"}}}, {"datasets": {"d": 3}}]
)
def test_what_is_no_mapping_is_left_to_the_validation(values):
    expanded(values)


def test_data_sets_and_augmentations_extend_each_other_too():
    base = {"resolution": 8, "train": {"lr": 1}, "split": {"n1": 3, "m1": 4}, "splits": {"a": {}}}
    found = expanded(
        {
            "datasets": {"base": base, "other": {"extends": "base", "resolution": 9, "splits": {"b": {"n1": 5}}}},
            "augmentations": {
                "weak": {"views": {"weak": 1}},
                "more": {"extends": "weak", "views": {"weak": 2}},
            },
        }
    )
    assert found["datasets"]["other"] == {
        "resolution": 9,
        "train": {"lr": 1},
        "splits": {"a": {"n1": 3, "m1": 4}, "b": {"n1": 5, "m1": 4}},
    }
    assert found["augmentations"]["more"] == {"views": {"weak": 2}}
    with pytest.raises(ValueError, match="'wek': is not in augmentations, did you mean weak"):
        expanded({"augmentations": {"weak": {}, "a": {"extends": "wek"}}})
