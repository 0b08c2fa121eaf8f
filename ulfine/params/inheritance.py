"""Entries of the catalogue that begin as another one: resolved in the raw values, before they are validated."""

import difflib
from collections.abc import Mapping
from typing import Any


def overlaid(base: Mapping[str, Any], changes: Mapping[str, Any], *, partial: bool = False) -> dict[str, Any]:
    """`base` with `changes` on top.

    Mappings merge deeply, anything else replaces, null deletes; a mapping of another `kind` replaces all of it.

    partial: the result will be laid over something else, so that null stays to delete there.
    """
    found = {} if changes.get("kind", base.get("kind")) != base.get("kind") else dict(base)
    for key, value in changes.items():
        if value is None and not partial:
            found.pop(key, None)
        elif isinstance(value, Mapping):
            below = found.get(key)
            found[key] = overlaid(below if isinstance(below, Mapping) else {}, value, partial=partial)
        else:
            found[key] = value
    return found


def expanded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of params.yaml with every method and split in full; what is no mapping is left to the validation.

    Raises:
        ValueError: `extends` names no method, or leads back to the method itself.
    """
    found = dict(values)
    methods, datasets = values.get("methods"), values.get("datasets")
    if isinstance(methods, Mapping):
        found["methods"] = {name: _method(methods, (name,)) for name in methods}
    if isinstance(datasets, Mapping):
        found["datasets"] = {name: _with_full_splits(dataset) for name, dataset in datasets.items()}
    return found


def _method(methods: Mapping[str, Any], chain: tuple[str, ...]) -> Any:
    """The last method of `chain`, which began at a method and followed `extends`."""
    own = methods[chain[-1]]
    if not isinstance(own, Mapping) or "extends" not in own:
        return own
    parent, where = own["extends"], f"methods.{chain[-1]}.extends = {own['extends']!r}: "
    if not isinstance(parent, str) or parent not in methods:
        near = difflib.get_close_matches(str(parent), methods, n=1)
        meant = f", did you mean {near[0]}?" if near else ""
        raise ValueError(f"{where}is not in methods{meant} (allowed: {', '.join(methods)})")
    if parent in chain:
        raise ValueError(f"{where}goes round in a circle: {', '.join((*chain, parent))}")
    base = _method(methods, (*chain, parent))
    if not isinstance(base, Mapping):
        return base
    method = overlaid(base, {key: value for key, value in own.items() if key != "extends"})
    if isinstance(own.get("train"), Mapping):  # which will be laid over `train`
        method["train"] = overlaid({"train": base.get("train")}, {"train": own["train"]}, partial=True)["train"]
    return method


def _with_full_splits(dataset: Any) -> Any:
    """A data set whose splits have what its `split` says they share."""
    if not isinstance(dataset, Mapping) or not isinstance(dataset.get("split"), Mapping):
        return dataset
    found = {key: value for key, value in dataset.items() if key != "split"}
    splits = found.get("splits")
    if isinstance(splits, Mapping):
        found["splits"] = {
            name: overlaid(dataset["split"], split) if isinstance(split, Mapping) else split
            for name, split in splits.items()
        }
    return found
