"""Entries of the catalogue that begin as another one: resolved in the raw values, before they are validated."""

import difflib
from collections.abc import Mapping
from typing import Any

EXTENDING = ("methods", "datasets", "augmentations")


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
    """The values of params.yaml with every entry and split in full; what is no mapping is left to the validation.

    Raises:
        ValueError: `extends` names no entry of the same section, or leads back to the entry itself.
    """
    found = dict(values)
    for section in EXTENDING:
        entries = values.get(section)
        if isinstance(entries, Mapping):
            found[section] = {name: _entry(section, entries, (name,)) for name in entries}
    if isinstance(found.get("datasets"), Mapping):
        found["datasets"] = {name: _with_full_splits(dataset) for name, dataset in found["datasets"].items()}
    return found


def _entry(section: str, entries: Mapping[str, Any], chain: tuple[str, ...]) -> Any:
    """The last entry of `chain`, which began at an entry of a section and followed `extends`."""
    own = entries[chain[-1]]
    if not isinstance(own, Mapping) or "extends" not in own:
        return own
    parent, where = own["extends"], f"{section}.{chain[-1]}.extends = {own['extends']!r}: "
    if not isinstance(parent, str) or parent not in entries:
        near = difflib.get_close_matches(str(parent), entries, n=1)
        meant = f", did you mean {near[0]}?" if near else ""
        raise ValueError(f"{where}is not in {section}{meant} (allowed: {', '.join(entries)})")
    if parent in chain:
        raise ValueError(f"{where}goes round in a circle: {', '.join((*chain, parent))}")
    base = _entry(section, entries, (*chain, parent))
    if not isinstance(base, Mapping):
        return base
    entry = overlaid(base, {key: value for key, value in own.items() if key != "extends"})
    if isinstance(own.get("train"), Mapping):  # which will be laid over `train`
        entry["train"] = overlaid({"train": base.get("train")}, {"train": own["train"]}, partial=True)["train"]
    return entry


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
