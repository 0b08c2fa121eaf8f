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
        (
            "ape: a\nhoney bee: a\n7: c\n",
            r"names\.yaml: ape and honey bee are called the same, 'a' and 'a'; call one of them otherwise$",
        ),
        ("ape: 3\nhoney bee: b\n7: c\n", r'names\.yaml: line 1: 3 is no text to YAML; quote it: "3"'),
        ("ape: [an ape, true]\n", r'names\.yaml: line 1: true is no text to YAML; quote it: "true"'),
        ("ape: 2020-01-01\n", r'names\.yaml: line 1: 2020-01-01 is no text to YAML; quote it: "2020-01-01"'),
        ("ape: a\nhoney bee:\n7: c\n", r"names\.yaml: line 2: \(nothing\) is no text to YAML"),
        ("ape: ' '\nhoney bee: b\n7: c\n", r"names\.yaml: ape = ' ': input should be text of at least 1 character"),
        ("ape: {x: y}\nhoney bee: b\n7: c\n", r"names\.yaml: ape: input should be text"),
        ("ape: [a, {}]\nhoney bee: b\n7: c\n", r"names\.yaml: ape\.1: input should be text"),
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


@pytest.mark.parametrize("key", ["null", "~", "true", "on", "1.5", "1e3", "2020-01-01", "010", "+7", "1:30", "="])
def test_a_class_whose_name_is_no_text_to_yaml_must_be_quoted(tmp_path, key):
    with pytest.raises(ValueError) as caught:
        sentences([key], ["a {}"], names_file(tmp_path, f"# names\n{key}: a\n"))
    assert str(caught.value) == f'{tmp_path}/names.yaml: line 2: {key} is no text to YAML; quote it: "{key}"'
    assert sentences([key], ["a {}"], names_file(tmp_path, f'"{key}": a\n')) == [["a a"]]


@pytest.mark.parametrize("key", ["0", "7", "2020", "-3", "9" * 30])
def test_a_class_that_is_a_whole_number_is_the_text_that_stands_there(tmp_path, key):
    assert sentences([key], ["a {}"], names_file(tmp_path, f"{key}: b\n")) == [["a b"]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cat", "Cat"),
        ("sea lion", "sea_lion"),
        ("sea lion", " sea  lion "),
        ("caf\u00e9", "cafe\u0301"),
        ("cat", "\uff43\uff41\uff54"),
        ("fish", "\ufb01sh"),
        ("salt & pepper", "salt &amp; pepper"),
        ("salt & pepper", "salt &amp;amp; pepper"),
        ("cat", "c\u200bat"),
        ("\u03a3\u03a3", "\u03c3\u03c2"),
    ],
)
def test_names_and_sentences_that_read_the_same_are_refused(tmp_path, one, other):
    for said in (f'ape: "{one}"\nbee: "{other}"\n', f'ape: [x, "{one}"]\nbee: ["{other}", X, x]\n'):
        with pytest.raises(ValueError, match=r"names\.yaml: ape and bee are called the same, "):
            sentences(["ape", "bee"], ["a {}"], names_file(tmp_path, said))


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("photo of {}", "ape = 'photo of {}'"),
        ("photo of {name}", "ape = 'photo of {name}'"),
        ("a } in it", "ape = 'a } in it'"),
        ("['an ape', 'photo of {}s']", "ape.1 = 'photo of {}s'"),
    ],
)
def test_braces_in_a_name_or_sentence_are_refused(tmp_path, said, at):
    with pytest.raises(ValueError) as caught:
        sentences(["ape"], ["a {}"], names_file(tmp_path, f"ape: {said}\n"))
    expected = "braces are filled in `prompt` alone; write the name itself in their place"
    assert str(caught.value) == f"{tmp_path}/names.yaml: {at}: {expected}"


def test_classes_and_names_are_taken_in_their_composed_form_and_without_idle_spaces(tmp_path):
    names = names_file(tmp_path, "cafe\u0301: [an  ape ]\n'honey_ bee ': cafe\u0301\n")
    assert sentences(["caf\u00e9", "honey bee"], ["a {}"], names) == [["an ape"], ["a caf\u00e9"]]


def test_a_changed_file_of_names_is_noticed(tmp_path):
    names = names_file(tmp_path, "ape: a\n")
    (tmp_path / "names.yaml").write_text("ape: b\n")
    with pytest.raises(ValueError, match=r"names\.yaml: sha256 is [0-9a-f]{64}, params\.yaml expects [0-9a-f]{64}"):
        sentences(["ape"], ["a {}"], names)
