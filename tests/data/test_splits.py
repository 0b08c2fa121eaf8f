import numpy as np
import pytest

from ulfine.data.splits import (
    class_order,
    decaying_counts,
    draw,
    draw_split,
    naming_classes,
    require_enough,
    summary,
    wanted_counts,
)
from ulfine.data.store import Counts
from ulfine.params.dataset import ExponentialSplit, NaturalSplit, NaturalUnknownSplit, UnknownSplit


def split(**changes) -> ExponentialSplit:
    base = {"n1": 50, "m1": 100, "gamma_labeled": 10, "gamma_unlabeled": 10, "shape": "consistent"}
    drawn = {"validation": 5, "shuffle_ranks": False, "include_labeled_in_unlabeled": False}
    return ExponentialSplit(**(base | drawn | changes))


def unknown(**changes) -> UnknownSplit:
    base = {"shape": "unknown", "n1": 6, "gamma_labeled": 3, "validation": 2, "shuffle_ranks": False}
    return UnknownSplit(**(base | {"include_labeled_in_unlabeled": False} | changes))


def natural(**changes) -> NaturalSplit:
    base = {"shape": "natural", "labeled_share": 0.1, "validation_share": 0.05, "include_labeled_in_unlabeled": False}
    return NaturalSplit(**(base | changes))


def natural_unknown(**changes) -> NaturalUnknownSplit:
    base = {"shape": "natural-unknown", "validation_share": 0.1, "include_labeled_in_unlabeled": False}
    return NaturalUnknownSplit(**(base | changes))


# from ACR, FineSSL, SimPro (make_imb_data); CPG; Meta-Expert, as their code and logs give them
@pytest.mark.parametrize(
    ("largest", "gamma", "counts"),
    [
        (500, 100, [500, 299, 179, 107, 64, 38, 23, 13, 8, 5]),
        (500, 150, [500, 286, 164, 94, 53, 30, 17, 10, 5, 3]),
        (1500, 100, [1500, 899, 539, 323, 193, 116, 69, 41, 25, 15]),
        (1500, 150, [1500, 859, 492, 282, 161, 92, 53, 30, 17, 10]),
        (400, 100, [400, 239, 143, 86, 51, 30, 18, 11, 6, 4]),
        (4000, 100, [4000, 2397, 1437, 861, 516, 309, 185, 111, 66, 40]),
        (4000, 150, [4000, 2292, 1313, 752, 431, 247, 141, 81, 46, 26]),
        (3000, 100, [3000, 1798, 1078, 646, 387, 232, 139, 83, 50, 30]),
        (3000, 150, [3000, 1719, 985, 564, 323, 185, 106, 60, 34, 20]),
        (4600, 100, [4600, 2757, 1653, 991, 594, 356, 213, 127, 76, 46]),
        (4000, 1, [4000] * 10),
        (50, 10, [50, 38, 29, 23, 17, 13, 10, 8, 6, 5]),  # a plain power ends in 4
    ],
)
def test_counts_are_those_of_the_published_splits(largest, gamma, counts):
    assert decaying_counts(largest, gamma, 10) == counts


@pytest.mark.parametrize(
    ("largest", "gamma", "total"),
    [
        *[(50, 10, 1911), (50, 15, 1687), (50, 20, 1545), (150, 10, 5835), (150, 15, 5153), (150, 20, 4741)],
        *[(400, 10, 15651), (400, 20, 12719), (400, 1, 40000), (300, 10, 11720), (300, 20, 9527), (300, 1, 30000)],
    ],
)
def test_totals_of_cifar100(largest, gamma, total):
    assert sum(decaying_counts(largest, gamma, 100)) == total


@pytest.mark.parametrize(
    ("largest", "gamma", "total"), [(150, 10, 609), (150, 20, 507), (450, 10, 1835), (450, 20, 1528)]
)
def test_totals_of_stl10(largest, gamma, total):
    assert sum(decaying_counts(largest, gamma, 10)) == total


@pytest.mark.parametrize("largest", [50, 150, 400, 500, 1500, 3000, 4000])
@pytest.mark.parametrize("gamma", [10, 50, 100, 150, 200])
@pytest.mark.parametrize("classes", [10, 100])
def test_the_last_class_has_largest_by_gamma(largest, gamma, classes):
    if largest >= gamma:
        assert decaying_counts(largest, gamma, classes)[-1] == largest // gamma


def test_the_tables_hold_where_naive_powers_lose_one():
    naive = {gamma: int(600 * (1 / gamma) ** (9 / 9)) for gamma in (10, 50, 150, 200)}
    ratio = {gamma: int(600 * ((1 / gamma) ** (1 / 9)) ** 9) for gamma in (10, 50, 150, 200)}
    assert {gamma: decaying_counts(600, gamma, 10)[-1] for gamma in naive} == naive
    assert ratio != naive  # the trap is real on this machine


def test_an_empty_last_class_is_refused():
    with pytest.raises(ValueError, match="50 pictures with gamma = 100 leave the last class empty"):
        decaying_counts(50, 100, 10)


def test_only_the_unlabeled_counts_are_reversed():
    wanted = wanted_counts(split(shape="reversed"), [200] * 3, seed=0)
    assert wanted == {"labeled": [50, 15, 5], "unlabeled": [10, 31, 100], "validation": [5, 5, 5]}


def test_uniform_takes_m1_of_every_class():
    wanted = wanted_counts(split(shape="uniform", gamma_unlabeled=1), [200] * 3, seed=0)
    assert wanted["unlabeled"] == [100, 100, 100]


# SimPro's flags 3 and 4; CPG calls the first exp_head_tail and the second exp_middle
@pytest.mark.parametrize(
    ("shape", "classes", "counts"),
    [
        ("middle", 10, [66, 185, 516, 1437, 4000, 2397, 861, 309, 111, 40]),
        ("head-tail", 10, [2397, 861, 309, 111, 40, 66, 185, 516, 1437, 4000]),
        ("middle", 3, [40, 4000, 400]),
        ("head-tail", 3, [400, 40, 4000]),
    ],
)
def test_peaks_are_where_simpro_puts_them(shape, classes, counts):
    simpro = split(shape=shape, n1=500, m1=4000, gamma_labeled=100, gamma_unlabeled=100)
    wanted = wanted_counts(simpro, [5000] * classes, seed=0)
    assert wanted["unlabeled"] == counts
    assert wanted["labeled"] == decaying_counts(500, 100, classes)


def test_shuffled_ranks_move_counts_to_other_classes_and_keep_pairs_together():
    shuffled = split(shuffle_ranks=True)
    order = class_order(shuffled, [200] * 10, seed=3)
    assert sorted(order) == list(range(10))
    assert order != class_order(shuffled, [200] * 10, seed=4)
    wanted = wanted_counts(shuffled, [200] * 10, seed=3)
    assert [wanted["labeled"][k] for k in order] == decaying_counts(50, 10, 10)
    assert [wanted["unlabeled"][k] for k in order] == decaying_counts(100, 10, 10)


def test_sets_are_disjoint_and_as_large_as_asked():
    labels = np.repeat(np.arange(3), 10)
    drawn = draw(labels, {"labeled": [4, 3, 2], "unlabeled": [6, 5, 1]}, seed=0)
    assert not set(drawn["labeled"]) & set(drawn["unlabeled"])
    assert np.bincount(labels[drawn["labeled"]]).tolist() == [4, 3, 2]
    assert np.bincount(labels[drawn["unlabeled"]]).tolist() == [6, 5, 1]


def test_a_seed_draws_the_same_pictures_again_and_another_seed_others():
    labels = np.repeat(np.arange(3), 100)
    wanted = {"labeled": [4, 3, 2], "unlabeled": [6, 5, 1]}
    first, again, other = (draw(labels, wanted, seed)["labeled"].tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_pictures_of_unknown_class_are_never_drawn():
    labels = np.array([-1, 0, -1, 0, 1, 1])
    drawn = draw(labels, {"labeled": [1, 1], "unlabeled": [1, 1]}, seed=0)
    assert sorted(np.concatenate(list(drawn.values()))) == [1, 3, 4, 5]


def test_more_pictures_than_a_class_has_are_refused_with_the_numbers():
    with pytest.raises(ValueError, match=r"asks for 4 labeled \+ 7 unlabeled = 11 pictures of class 1, which has 10"):
        draw(np.repeat(np.arange(2), 10), {"labeled": [1, 4], "unlabeled": [1, 7]}, seed=0)


def test_the_split_is_hashed_over_all_of_it():
    labels = np.repeat(np.arange(3), 200)
    one, two = (draw_split(split(), labels, 3, seed) for seed in (0, 1))
    assert one["sha256"] != two["sha256"]
    assert one == draw_split(split(), labels, 3, 0)
    assert {name: len(indices) for name, indices in one["indices"].items()} == {
        "labeled": 50 + 15 + 5,
        "unlabeled": 100 + 31 + 10,
        "validation": 15,
    }


def spread(sizes: list[int], without: int = 0) -> np.ndarray:
    """Return the labels of a training part in random order."""
    labels = np.append(np.repeat(np.arange(len(sizes)), sizes), np.full(without, -1))
    return np.random.default_rng(0).permutation(labels)


@pytest.mark.parametrize(
    ("shape", "gamma", "shuffle", "digest"),
    [
        ("consistent", 10, False, "9e4630e3d72d"),
        ("consistent", 10, True, "ba61c1e3e7b7"),
        ("uniform", 1, True, "b4f9a4ca7c36"),
        ("reversed", 10, False, "a4b49592a4ea"),
    ],
)
def test_a_split_stays_what_it_was(shape, gamma, shuffle, digest):
    """Splits are pinned so that those drawn elsewhere stay comparable."""
    drawn = split(n1=20, m1=30, gamma_unlabeled=gamma, shape=shape, shuffle_ranks=shuffle)
    assert draw_split(drawn, spread([60] * 4), 4, seed=3)["sha256"].startswith(digest)


@pytest.mark.parametrize(
    ("shape", "without", "expected"),
    [(split, 0, 141 + 70), (unknown, 25, 25 + 11), (natural, 0, 510 + 60), (natural_unknown, 25, 25 + 540)],
)
def test_copies_of_the_labeled_join_the_pool_and_change_nothing_else(shape, without, expected):
    labels = spread([200] * 3, without)
    apart, joined = (draw_split(shape(include_labeled_in_unlabeled=flag), labels, 3, seed=1) for flag in (False, True))
    assert not set(apart["indices"]["labeled"]) & set(apart["indices"]["unlabeled"])
    union = set(apart["indices"]["labeled"]) | set(apart["indices"]["unlabeled"])
    assert joined["indices"]["unlabeled"] == sorted(union)
    assert len(union) == expected
    for name in ("labeled", "validation"):
        assert joined["indices"][name] == apart["indices"][name]
    assert joined["counts"] == apart["counts"]
    assert joined["sha256"] != apart["sha256"]


def test_a_pool_of_unknown_shape_is_every_picture_without_a_label():
    labels = spread([10] * 3, without=7)
    found = draw_split(unknown(), labels, 3, seed=0)
    assert found["counts"] == {"labeled": [6, 3, 2], "unlabeled": None, "validation": [2, 2, 2]}
    assert found["indices"]["unlabeled"] == np.flatnonzero(labels == -1).tolist()
    assert np.bincount(labels[found["indices"]["labeled"]]).tolist() == [6, 3, 2]
    assert not set(found["indices"]["labeled"]) & set(found["indices"]["validation"])


def test_a_pool_of_unknown_shape_needs_pictures_without_a_label():
    wanted = wanted_counts(unknown(), [10] * 3, seed=0)
    require_enough(wanted, Counts([10] * 3, 1))
    for without_one in (wanted, wanted_counts(natural_unknown(), [10] * 3, seed=0)):
        with pytest.raises(
            ValueError, match="unknown need training pictures without a label, and this source has none"
        ):
            require_enough(without_one, Counts([10] * 3, 0))
    with pytest.raises(ValueError, match=r"asks for 6 labeled \+ 2 validation = 8 pictures of class 0, which has 7"):
        require_enough(wanted, Counts([7] * 3, 1))


def test_a_natural_tail_keeps_its_sizes():
    """Shares are rounded half to even: 25 and 15 pictures give 2.5 and 1.5 labeled, both 2."""
    sizes = [25, 300, 15, 2, 3, 25]
    found = draw_split(natural(), spread(sizes, without=9), 6, seed=0)
    assert found["class_order"] == [1, 0, 5, 2, 4, 3]
    assert found["counts"] == {
        "labeled": [2, 30, 2, 1, 1, 2],
        "unlabeled": [22, 255, 12, 1, 1, 22],
        "validation": [1, 15, 1, 0, 1, 1],
    }
    used = [index for indices in found["indices"].values() for index in indices]
    assert len(used) == len(set(used)) == sum(sizes)


def test_all_labels_and_a_pool_of_unknown_shape():
    """A tenth of 25 and 15 pictures, 2.5 and 1.5, rounds to 2; of 3 it is 1, of 2 and 1 nothing."""
    labels = spread([25, 300, 15, 2, 3, 1], without=9)
    found = draw_split(natural_unknown(), labels, 6, seed=0)
    assert found["class_order"] == [1, 0, 2, 4, 3, 5]
    assert found["counts"] == {
        "labeled": [23, 270, 13, 2, 2, 1],
        "unlabeled": None,
        "validation": [2, 30, 2, 0, 1, 0],
    }
    assert found["indices"]["unlabeled"] == np.flatnonzero(labels == -1).tolist()
    used = [index for indices in found["indices"].values() for index in indices]
    assert sorted(used) == list(range(len(labels)))


@pytest.mark.parametrize(
    ("shape", "labeled"),
    [
        (split(validation=0), [50, 15, 5]),
        (unknown(validation=0), [6, 3, 2]),
        (natural(validation_share=0), [6, 6, 6]),
        (natural_unknown(validation_share=0), [60, 60, 60]),
    ],
)
def test_a_split_may_hold_nothing_out(shape, labeled):
    sizes = [200] * 3 if shape.shape == "consistent" else [60] * 3
    found = draw_split(shape, spread(sizes, without=9), 3, seed=0)
    assert found["counts"]["validation"] == [0, 0, 0] and found["indices"]["validation"] == []
    assert found["counts"]["labeled"] == labeled


@pytest.mark.parametrize(
    ("sizes", "share", "message"),
    [
        (
            [9, 3],
            0.9,
            r"asks for 3 validation of the 3 pictures of class 1, which leaves none labeled; shape natural-un",
        ),
        ([0, 9], 0.1, r"asks for 0 validation of the 0 pictures of class 0, which leaves none labeled"),
    ],
)
def test_a_class_that_a_share_uses_up_is_refused(sizes, share, message):
    with pytest.raises(ValueError, match=message):
        wanted_counts(natural_unknown(validation_share=share), sizes, seed=0)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (natural(), "120 labeled, 1,020 unlabeled, 60 validation pictures; 9 training pictures are in none of them"),
        (natural_unknown(validation_share=0), "1,200 labeled, 9 unlabeled, 0 validation pictures"),
        (
            natural_unknown(include_labeled_in_unlabeled=True),
            "1,080 labeled, 9 unlabeled, 120 validation pictures; the pool holds the labeled ones too",
        ),
        (
            split(include_labeled_in_unlabeled=True),
            "70 labeled, 141 unlabeled, 15 validation pictures; the pool holds the labeled ones too; 983 training "
            "pictures are in none of them",
        ),
    ],
)
def test_a_split_says_what_it_holds(shape, said):
    labels = spread([400] * 3, without=9)
    assert summary(draw_split(shape, labels, 3, seed=0), len(labels)) == said


@pytest.mark.parametrize(
    ("sizes", "shares", "message"),
    [
        ([9, 1], {}, r"asks for 1 labeled \+ 0 validation of the 1 pictures of class 1, which leaves none unlabeled"),
        ([0, 9], {}, r"of the 0 pictures of class 0, which leaves none unlabeled; shape natural needs at least 2"),
        ([9, 3], {"labeled_share": 0.6}, r"asks for 2 labeled \+ 1 validation of the 3 pictures of class 1"),
    ],
)
def test_a_class_too_small_for_a_natural_split_is_refused(sizes, shares, message):
    with pytest.raises(ValueError, match=message):
        wanted_counts(natural(**shares), sizes, seed=0)


def test_errors_say_the_name_of_a_class_where_it_is_known():
    """A name with braces is printed unchanged."""
    message = r"asks for 6 labeled \+ 2 validation = 8 pictures of {}, which has 7"
    for names, said in ((["ape", "b{}e", "cat"], "class 'b{}e'"), (None, "class 1")):
        with pytest.raises(ValueError, match=message.format(said)), naming_classes(names):
            require_enough({"labeled": [6] * 3, "unlabeled": None, "validation": [2] * 3}, Counts([8, 7, 8], 1))
    with (
        pytest.raises(ValueError, match="of the 1 pictures of class 'bee', which leaves none"),
        naming_classes(["ape", "bee"]),
    ):
        draw_split(natural(), np.array([0] * 9 + [1]), 2, 0)


def test_a_split_may_be_the_same_for_all_seeds():
    labels = np.repeat(np.arange(4), 300)
    fixed = [draw_split(split(split_seed=7, shuffle_ranks=True), labels, 4, seed) for seed in (0, 1)]
    assert fixed[0] == fixed[1] == draw_split(split(shuffle_ranks=True), labels, 4, 7)
    assert fixed[0]["seed"] == 7
