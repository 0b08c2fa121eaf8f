"""The tokens that a text tower gets, for each kind of tokenizer in open_clip."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from ulfine.models.tokens import cut_sentences, require_other_rows, require_other_tokens, without_padding

CONTEXT = 8
MARKS = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<cls>"}


def of_transformers(folder: Path, padding_side: str = "right", padding: str = "<pad>", **options) -> HFTokenizer:
    """Make a tokenizer of words a, b, c and d, each a token, and an end token: 7 words fit into 8 tokens."""
    words = ["</s>", "<pad>", "<s>", "<cls>", "<unk>", "a", "b", "c", "d"]
    rule = Tokenizer(models.WordLevel(dict(zip(words, range(9), strict=True)), unk_token="<unk>"))  # noqa: S106
    rule.pre_tokenizer = pre_tokenizers.Whitespace()
    rule.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    marks = MARKS | {"pad_token": padding, "unk_token": "<unk>", "padding_side": padding_side}
    PreTrainedTokenizerFast(tokenizer_object=rule, **marks).save_pretrained(folder)
    return HFTokenizer(str(folder), context_length=CONTEXT, **options)


KINDS: dict[str, tuple[Callable, int]] = {  # and how many words fit
    "of CLIP": (lambda _: SimpleTokenizer(context_length=CONTEXT), 6),
    "of SigLIP, cleaned": (lambda _: SimpleTokenizer(context_length=CONTEXT, clean="canonicalize"), 6),
    "of transformers": (of_transformers, 7),
    "padded on the left": (lambda folder: of_transformers(folder, padding_side="left"), 7),
    "padded with the mark at the end": (lambda folder: of_transformers(folder, padding="</s>"), 7),
    "without its separator": (lambda folder: of_transformers(folder, strip_sep_token=True), 7),
    "with a class token behind": (lambda folder: of_transformers(folder, tokenizer_mode="clips"), 5),
}


@pytest.fixture(params=KINDS)
def kind(request, tmp_path) -> tuple[Callable, int]:
    """Return a tokenizer and how many words it takes."""
    make, words = KINDS[request.param]
    return make(tmp_path), words


def test_sentences_that_are_cut_are_counted_from_the_first_token_too_many(kind):
    tokenizer, words = kind
    whole, longer = "a " * words, "a " * words + "b"
    assert cut_sentences(tokenizer, {"x": [whole, "a"], "y": [whole]}) is None
    one = cut_sentences(tokenizer, {"x": [whole, "a"], "y": ["a", longer]})
    assert one == "1 sentence is cut at the text tower's 8 tokens, the first one of class 'y'"
    three = cut_sentences(tokenizer, {"x": [whole], "y": [longer, longer * 5], "z": [longer]})
    assert three == "3 sentences are cut at the text tower's 8 tokens, the first one of class 'y'"


def test_what_is_left_of_a_cut_sentence_is_what_counts(kind):
    tokenizer, words = kind
    begun = "a " * words
    with pytest.raises(ValueError, match=r"cannot tell the classes 'x' and 'y' apart: .* the same tokens"):
        require_other_tokens(tokenizer, {"w": ["b"], "x": [f"{begun} c"], "y": [f"{begun} d"]})


def test_classes_of_other_sentences_pass(kind):
    tokenizer, words = kind
    require_other_tokens(tokenizer, {"x": ["a", "b"], "y": ["a", "c"], "z": ["a"], "long": ["d " * words]})


def test_the_order_of_sentences_does_not_tell_classes_apart(kind):
    with pytest.raises(ValueError, match="cannot tell the classes 'x' and 'y' apart"):
        require_other_tokens(kind[0], {"x": ["a", "b"], "y": ["b", "a", "a"]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("cat", "cat "),
        ("cat", "Cat"),
        ("fish", "\ufb01sh"),
        ("cat", "\uff43\uff41\uff54"),
        ("a & b", "a &amp; b"),
        ("dog's", "dog\u2019s"),
        ("caf\u00e9", "caf\u00c3\u00a9"),
    ],
)
def test_names_that_clips_tokenizer_cleans_alike_are_refused(one, other):
    classes = {one: [f"a photo of a {one}"], other: [f"a photo of a {other}"]}
    with pytest.raises(ValueError, match="the text tower cannot tell the classes") as caught:
        require_other_tokens(SimpleTokenizer(), classes)
    assert "\n" not in str(caught.value)


def test_names_that_differ_in_punctuation_alone_are_one_where_the_tower_reads_none():
    classes = {"C++": ["C++"], "C#": ["C#"]}
    require_other_tokens(SimpleTokenizer(), classes)
    with pytest.raises(ValueError, match=r"the classes 'C\+\+' and 'C#' apart"):
        require_other_tokens(SimpleTokenizer(clean="canonicalize"), classes)


def test_equal_rows_are_refused_though_rounding_differs():
    rows = torch.nn.functional.normalize(torch.randn(4, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    require_other_rows(rows, ["a", "b", "c", "d"])
    rows[3] = rows[1] + 1e-7
    with pytest.raises(ValueError, match=r"cannot tell the classes 'b' and 'd' apart: .* the same prototype; give one"):
        require_other_rows(rows, ["a", "b", "c", "d"])
    rows[3, 0] += 1e-4
    require_other_rows(rows, ["a", "b", "c", "d"])


PAD = 7


@pytest.mark.parametrize(
    ("tokens", "left"),
    [
        ([[1, 2, PAD, PAD], [1, PAD, PAD, PAD]], 2),
        ([[1, PAD, 2, PAD], [1, PAD, PAD, PAD]], 3),  # as some tokenizers have it in between
        ([[PAD, PAD, PAD, 1], [PAD, PAD, 1, 2]], 4),  # padded on the left, where positions would change
    ],
)
def test_padding_that_all_sentences_end_with_is_left_out_for_towers_that_mask_it(tokens, left):
    tokens = torch.tensor(tokens)
    masking = SimpleNamespace(text=SimpleNamespace(config=SimpleNamespace(pad_token_id=PAD)))
    assert torch.equal(without_padding(masking, tokens), tokens[:, :left])
    for other in (SimpleNamespace(text=SimpleNamespace()), SimpleNamespace()):  # open_clip's, custom and not
        assert without_padding(other, tokens) is tokens
