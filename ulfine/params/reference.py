"""Every key of params.yaml, made from the models: a page for people, and a JSON schema for editors."""

import json
import re
from typing import Any

from ulfine.params.root import Params

HEADER = """# Parameters

Every key of `params.yaml`. Made by `ulfine reference` from `ulfine/params/`, where each is described once.
`<name>` stands for a name of your own: letters, digits, `-` and `_`. The `train` of a data set or a method may hold any
keys of `train`; the method's come last. Wherever one thing is laid over another (a split over `split`, a method over
the one it extends, `train` over `train`), mappings merge key by key, anything else replaces, and null deletes. Paths
are relative to the repository, absolute, or begin with `~`.

| key | allowed | meaning |
|---|---|---|
"""
BOUNDS = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))


def reference() -> str:
    """The page."""
    schema = Params.model_json_schema()
    rows = _rows("", schema, schema["$defs"])
    return HEADER + "".join(f"| `{key}` | {allowed} | {meaning} |\n" for key, allowed, meaning in rows)


def schema() -> dict[str, Any]:
    """The JSON schema of params.yaml as users write it: what is laid over something else may lack any key."""
    found = _any_of(Params.model_json_schema())  # parts of a section may fit several kinds of it
    definitions = found["$defs"]
    dataset = definitions["Dataset"]["properties"]
    (split,) = dataset["splits"]["patternProperties"].values()
    dataset["split"] = split | {"description": dataset["split"]["description"]}
    for name in _reached(definitions, json.dumps(split)):
        definitions[name].pop("required", None)
    extending = ("Method", "Dataset", "Augmentation")
    for name in _reached(definitions, json.dumps([definitions[each] for each in extending])).union(extending):
        definitions[name].pop("required", None)
        for key, field in definitions[name].get("properties", {}).items():
            described = {word: field[word] for word in ("description",) if word in field}
            definitions[name]["properties"][key] = {"anyOf": [field, {"type": "null"}]} | described
    return found


def _reached(definitions: dict[str, Any], text: str) -> set[str]:
    """The definitions that a text of JSON refers to, directly or not."""
    found, open_ = set(), [text]
    while open_:
        for name in set(re.findall(r'"#/\$defs/(\w+)"', open_.pop())) - found:
            found.add(name)
            open_.append(json.dumps(definitions[name]))
    return found


def _any_of(schema: Any) -> Any:
    """`schema` with anyOf in the place of oneOf."""
    if isinstance(schema, list):
        return [_any_of(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _any_of(value) for key, value in schema.items() if key != "discriminator"}
    return {"anyOf" if key == "oneOf" else key: value for key, value in kept.items()}


def _rows(prefix: str, schema: dict[str, Any], definitions: dict) -> list[tuple[str, str, str]]:
    rows = []
    for name, field in schema["properties"].items():
        key = f"{prefix}{name}"
        rows.append((key, _escaped(_allowed(field, definitions)), _escaped(field.get("description", ""))))
        if name == "train" and prefix:
            continue  # described once, at the top level
        rows += _rows_inside(key, field, definitions)
    return rows


def _rows_inside(key: str, field: dict[str, Any], definitions: dict) -> list[tuple[str, str, str]]:
    """Rows of the sections inside a field; of one of several kinds, a row says of which unless all have it."""
    inside = _inner(field, definitions)
    (named,) = field.get("patternProperties", {"": field}).values()
    options = [named, *named.get("anyOf", [])]
    tag = next((option["discriminator"]["propertyName"] for option in options if "discriminator" in option), None)
    owners: dict[tuple[str, str, str], list[str]] = {}
    for suffix, inner in inside:
        kind = _allowed(inner["properties"][tag], definitions) if tag else ""
        for row in _rows(f"{key}.{suffix}", inner, definitions):
            owners.setdefault(row, []).append(kind)
    rows = []
    for (path, allowed, meaning), kinds in owners.items():
        of_all = len(kinds) == len(inside) or path.endswith(f".{tag}")
        rows.append((path, allowed, meaning if of_all else f"{tag} {', '.join(kinds)}: {meaning}"))
    return rows


def _inner(field: dict[str, Any], definitions: dict) -> list[tuple[str, dict]]:
    """The sections inside a field, each with what stands between its key and theirs."""
    if "$ref" in field:
        return [("", definitions[field["$ref"].rsplit("/", 1)[1]])]
    for named in field.get("patternProperties", {}).values():
        return [(f"<name>.{suffix}", inner) for suffix, inner in _inner(named, definitions)]
    options = field.get("oneOf", field.get("anyOf", []))
    return [found for option in options for found in _inner(option, definitions)]


def _allowed(field: dict[str, Any], definitions: dict) -> str:
    if "patternProperties" in field:
        return "sections by name"
    absent = ", or absent" if "default" in field else ""
    if _inner(field, definitions):
        words = "".join(f"`{option['const']}` or " for option in field.get("oneOf", []) if "const" in option)
        return f"{words}a section{absent}"
    options = field.get("anyOf")
    if options:
        allowed = " or ".join(_allowed(option, definitions) for option in options if option.get("type") != "null")
        return f"{allowed}{absent}"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")])) + absent
    if field["type"] in ("array", "object"):
        return _allowed_inside(field, definitions)
    bounds = [f"{sign} {field[key]:.10g}" for key, sign in BOUNDS if key in field]
    kind = {"string": "text", "boolean": "`true`, `false`"}.get(field["type"], field["type"])
    return " ".join([kind, ", ".join(bounds)]).strip()


def _allowed_inside(field: dict[str, Any], definitions: dict) -> str:
    if field.get("additionalProperties") is True:
        return "a section"
    if field["type"] == "array":
        return f"a list of {_allowed(field['items'], definitions)}"
    names, values = (_allowed(field[part], definitions) for part in ("propertyNames", "additionalProperties"))
    return f"{names}: {values} each"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
