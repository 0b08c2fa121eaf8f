import pytest

from ulfine.data.sentences import sentences
from ulfine.files import sha256
from ulfine.params.dataset import CheckedFile

CLASSES = ["ape", "honey bee", "7"]


def names_file(folder, text: str) -> CheckedFile:
    (folder / "names.yaml").write_text(text)
    return CheckedFile(path=str(folder / "names.yaml"), sha256=sha256(folder / "names.yaml"))


def test_every_template_is_filled_with_every_name():
    assert sentences(CLASSES[:2], ["a {}", "one {}."], "source") == [
        ["a ape", "one ape."],
        ["a honey bee", "one honey bee."],
    ]


def test_a_file_gives_names_or_whole_sentences(tmp_path):
    names = names_file(tmp_path, "honey_bee: bee\nape: [an ape, a monkey]\n7: seven\n")
    assert sentences(CLASSES, ["a {}"], names) == [["an ape", "a monkey"], ["a bee"], ["a seven"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ape: ape\nhoney bee: bee\n", r"names\.yaml: lacks 7"),
        ("ape: a\nhoney bee: b\n7: c\ncat: d\n", r"names\.yaml: has too much: cat"),
        ("ape: a\nhoney bee: a\n7: c\n", r"names\.yaml: ape and honey bee are called the same, 'a'"),
        ("ape: 3\nhoney bee: b\n7: c\n", r"names\.yaml: ape = 3: input should be text"),
        ("ape: []\nhoney bee: b\n7: c\n", r"names\.yaml: ape: "),
        ("ape: ''\nhoney bee: b\n7: c\n", r"names\.yaml: ape = '': input should be text of at least 1 character"),
        ("ape: a\nape: b\n", r"names\.yaml: line 2: key 'ape' is given twice"),
        ("- ape\n", r"names\.yaml: expected a mapping"),
        ("ape: [a\n", r"names\.yaml: not valid YAML"),
    ],
)
def test_a_wrong_file_of_names_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as caught:
        sentences(CLASSES, ["a {}"], names_file(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_changed_file_of_names_is_noticed(tmp_path):
    names = names_file(tmp_path, "ape: a\n")
    (tmp_path / "names.yaml").write_text("ape: b\n")
    with pytest.raises(ValueError, match=r"names\.yaml: sha256 is [0-9a-f]{64}, params\.yaml expects [0-9a-f]{64}"):
        sentences(["ape"], ["a {}"], names)
