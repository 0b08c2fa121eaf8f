"""`sweeps`: trials of one method, scored on validation pictures."""

from itertools import product
from math import prod
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ulfine.params.base import validated
from ulfine.params.method import Method
from ulfine.params.train import Train

MOST = 10_000  # trials
OWN = ("layer_decay", "tower_lr")  # keys of a method itself that can be swept


def _distinct(values: list[Any]) -> list[Any]:
    if len({repr(value) for value in values}) < len(values):
        raise ValueError(f"{values} names a value twice")
    return values


def _finite(sweep: dict[str, list[Any]]) -> dict[str, list[Any]]:
    number = prod(len(values) for values in sweep.values())
    if number > MOST:
        raise ValueError(f"{number} trials (allowed: at most {MOST})")
    return sweep


Values = Annotated[list[bool | int | float | str], Field(min_length=1), AfterValidator(_distinct)]
Sweep = Annotated[dict[str, Values], Field(min_length=1), AfterValidator(_finite)]


def trials(sweep: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values, by key; keys in alphabetical order, of which the last changes first."""
    return [dict(zip(sorted(sweep), values, strict=True)) for values in product(*(sweep[key] for key in sorted(sweep)))]


def applied(trial: dict[str, Any], method: Method, train: Train) -> tuple[Method, Train]:
    """The method and the training under one trial.

    trial: values by key, such as train.threshold, paf.mu, dlf.eta. train: resolved, with the overrides of the method.

    Raises:
        ValueError: the method has no such key, or does not allow the value.
    """
    sections = method.model_dump(exclude_none=True) | {"train": train.model_dump()}
    for key, value in trial.items():
        section, _, name = key.partition(".")
        if not name and key in OWN:
            sections[key] = value
        elif name and isinstance(sections.get(section), dict):
            sections[section][name] = value
        else:
            allowed = ", ".join(sorted(key for key, inside in sections.items() if isinstance(inside, dict)))
            raise ValueError(f"key {key!r}: not one of this method (allowed: {', '.join(OWN)}, a key of {allowed})")
    where = f"{', '.join(f'{key} = {value}' for key, value in trial.items())}: "
    options = validated(Train, sections.pop("train"), f"{where}train: ")
    changed = validated(Method, sections, where)
    changed.require_fits(options)
    return changed, options
