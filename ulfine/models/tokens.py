"""Sentences as a text tower sees them: which are cut, which classes become the same to it, how much is padding."""

from torch import Tensor, nn

from ulfine.data.classes import pair
from ulfine.models.backbone import Tokenizer

EQUAL = 1e-6  # in a coordinate of unit rows in float32; sentences of other tokens are hundreds of times as far apart
Sentences = dict[str, list[str]]  # the sentences of each class


def cut_sentences(tokenizer: Tokenizer, classes: Sentences) -> str | None:
    """Count the sentences that are longer than the tower takes, and name the class of the first; None where all fit.

    With twice the room a tokenizer gives more of such a sentence, and more padding alone of another, on either side.
    """
    context = tokenizer([""]).shape[1]
    padding = tokenizer([""], context_length=2 * context).flatten().mode().values
    cut = []
    for name, said in classes.items():
        has, would_have = ((tokenizer(said, context_length=room) != padding).sum(1) for room in (context, 2 * context))
        cut += [name] * int((would_have > has).sum())
    if not cut:
        return None
    number = "1 sentence is" if len(cut) == 1 else f"{len(cut)} sentences are"
    return f"{number} cut at the text tower's {context} tokens, the first one of class {cut[0]!r}"


def require_other_tokens(tokenizer: Tokenizer, classes: Sentences) -> None:
    """Refuse classes whose sentences are the same to the tower.

    Raises:
        ValueError: two have the same tokens, in whatever order of their sentences; the message names both.
    """
    first: dict[frozenset, str] = {}
    for name, said in classes.items():
        other = first.setdefault(frozenset(map(tuple, tokenizer(said).tolist())), name)
        if other != name:
            raise ValueError(_the_same(other, name, "tokens"))


def require_other_rows(prototypes: Tensor, names: list[str]) -> None:
    """Refuse classes of equal prototypes: a tower may ignore what their tokens differ in.

    prototypes: (K, E) unit rows. names: K.

    Raises:
        ValueError: two rows are equal but for rounding; the message names both classes.
    """
    for k, row in enumerate(prototypes):
        near = ((prototypes[:k] - row).abs().amax(1) <= EQUAL).nonzero()
        if len(near):
            raise ValueError(_the_same(names[near[0].item()], names[k], "prototype"))


def without_padding(clip: nn.Module, tokens: Tensor) -> Tensor:
    """Leave out the last columns if all sentences have padding there, which the text towers of Hugging Face mask.

    Embeddings are the same but for rounding. ImageNet's names, of 11 to 18 of 32 tokens, take less than half the time.

    clip: of open_clip, whose own text towers get all columns. tokens: (B, T).
    """
    config = getattr(getattr(clip, "text", None), "config", None)
    if config is None:
        return tokens
    used = (tokens != config.pad_token_id).any(0).nonzero()
    return tokens[:, : int(used.max()) + 1]


def _the_same(one: str, other: str, what: str) -> str:
    return (
        f"the text tower cannot tell the classes {pair(one, other)} apart: all that it is told of them gives the same "
        f"{what}; give one of them another name or other sentences by class_names, or shorten a prompt that is cut"
    )
