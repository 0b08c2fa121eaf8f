"""`sweeps`: settings of one method on frozen features, trained side by side and scored on validation pictures."""

from copy import deepcopy
from itertools import product
from math import prod
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ulfine.params.base import validated
from ulfine.params.method import Method
from ulfine.params.train import Train, TrainOverrides, merged

MOST = 10_000  # settings


def _distinct(values: list[Any]) -> list[Any]:
    if len({repr(value) for value in values}) < len(values):
        raise ValueError(f"{values} names a value twice")
    return values


def _finite(sweep: dict[str, list[Any]]) -> dict[str, list[Any]]:
    number = prod(len(values) for values in sweep.values())
    if number > MOST:
        raise ValueError(f"{number} settings (allowed: at most {MOST})")
    return sweep


Values = Annotated[list[bool | int | float | str], Field(min_length=1), AfterValidator(_distinct)]
Sweep = Annotated[dict[str, Values], Field(min_length=1), AfterValidator(_finite)]


def settings(sweep: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values, by key of the method; the last key changes first."""
    return [dict(zip(sweep, values, strict=True)) for values in product(*sweep.values())]


def applied(
    setting: dict[str, Any], method: Method, train: dict[str, Any], of_dataset: TrainOverrides
) -> tuple[Method, Train]:
    """The method and the training under one setting.

    setting: values by key of the method, such as train.threshold, paf.mu, dlf.eta. method: as in the catalogue.
    train: the section of this name. of_dataset: what the data set overrides of it.

    Raises:
        ValueError: the method has no such key, or does not allow the value.
    """
    values = deepcopy(method.model_dump(exclude_unset=True))
    for key, value in setting.items():
        _set(values, key, value)
    where = f"{', '.join(f'{key} = {value}' for key, value in setting.items())}: "
    changed = validated(Method, values, where)
    options = validated(Train, merged(train, of_dataset, changed.train), where)
    changed.require_fits(options)
    return changed, options


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    section, _, name = key.partition(".")
    if section == "train":
        values.setdefault("train", {})
    if not name or not isinstance(values.get(section), dict):
        sections = ", ".join(sorted({"train"} | {key for key, inside in values.items() if isinstance(inside, dict)}))
        raise ValueError(f"key {key!r}: not one of this method (allowed: a key of {sections})")
    values[section][name] = value
