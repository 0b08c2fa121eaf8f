from collections import Counter

import numpy as np
import pytest

from tests.project import ROOT
from ulfine.data.imagenet import grouped, read_groups
from ulfine.files import read_csv, sha256
from ulfine.params.dataset import CheckedFile

FACTS = ROOT / "assets/imagenet127.csv"
HEADER = "synset,downsampled_label,group,name\n"


def checked(path) -> CheckedFile:
    return CheckedFile(path=str(path), sha256=sha256(path))


def test_the_127_groups_are_those_that_are_published():
    """Sizes and names of the label set of Huh et al.; members from their list of validation pictures."""
    rows = read_csv(FACTS)
    assert len(rows) == len({row["synset"] for row in rows}) == 1000
    assert sorted(int(row["downsampled_label"]) for row in rows) == list(range(1, 1001))
    sizes = Counter(row["name"] for row in rows)
    assert len(sizes) == 127 and sizes.most_common(1) == [("mammal", 218)]
    name = {row["synset"]: row["name"] for row in rows}
    published = {
        "n03478589": "military vehicle",  # half track, also a container
        "n04532106": "gown",  # vestment, also a covering
        "n04049303": "cistern",  # rain barrel, also a container
        "n02916936": "covering",  # bulletproof vest, also a garment
        "n04552348": "heavier-than-air craft",  # warplane, also a military vehicle
        "n03776460": "structure",  # mobile home, also a container
        "n04179913": "home appliance",  # sewing machine, also a device
        "n09421951": "bar",  # sandbar, also a geological formation
    }
    assert {synset: name[synset] for synset in published} == published


def test_labels_of_downsampled_imagenet_are_in_the_order_of_its_authors():
    by_label = {int(row["downsampled_label"]): row["synset"] for row in read_csv(FACTS)}
    assert [by_label[label] for label in (1, 2, 3)] == ["n02119789", "n02100735", "n02110185"]  # kit fox, setter, husky


def test_groups_are_in_the_order_of_their_synsets(tmp_path):
    (tmp_path / "g.csv").write_text(HEADER + "n00000009,1,n2,bird\nn00000003,3,n1,fish\nn00000004,7,n2,bird\n")
    groups = read_groups(checked(tmp_path / "g.csv"))
    assert groups.names == ["fish", "bird"]
    assert groups.by_synset == {"n00000009": 1, "n00000003": 0, "n00000004": 1}
    assert grouped(np.array([7, 3, 3, 1]), groups).tolist() == [1, 0, 0, 1]
    for wrong in (0, 2, 8, -1):
        with pytest.raises(ValueError, match=f"label {wrong} is none of the 3 labels of the groups"):
            grouped(np.array([7, wrong]), groups)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "needs at least two groups"),
        ("n00000001,1,g,a\nn00000002,2,g,a\n", "needs at least two groups"),
        ("n00000001,1,g,a\nn00000002,2,h,a\n", "needs at least two groups, each with a name of its own"),
        ("cat,1,g,a\n", "line 2: 'cat,1,g,a' is not like n01440764,449,group,name"),
        ("n00000001,one,g,a\n", "line 2: 'n00000001,one,g,a' is not like"),
        ("n00000001,1,g\n", "line 2: needs the columns synset, downsampled_label, group, name"),
        ("n00000001,1,g,a\nn00000001,2,h,b\n", "line 3: n00000001, 2, or the group of another name, is there"),
        ("n00000001,1,g,a\nn00000002,1,h,b\n", "line 3: n00000002, 1, or the group"),
        ("n00000001,1,g,a\nn00000002,2,g,b\n", "line 3: n00000002, 2, or the group"),
    ],
)
def test_a_wrong_file_of_groups_is_refused_by_line(tmp_path, rows, message):
    (tmp_path / "g.csv").write_text(HEADER + rows)
    with pytest.raises(ValueError, match=message) as caught:
        read_groups(checked(tmp_path / "g.csv"))
    assert str(caught.value).startswith(str(tmp_path / "g.csv"))


def test_a_changed_file_of_groups_is_noticed():
    with pytest.raises(ValueError, match=r"imagenet127\.csv: sha256 is [0-9a-f]{64}, params\.yaml expects 0{64}"):
        read_groups(CheckedFile(path=str(FACTS), sha256="0" * 64))
