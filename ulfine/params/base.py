"""What every section shares: unknown keys are refused, types are strict, an error is one line that names the key."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic_core import ErrorDetails

T = TypeVar("T")

# Names become folder names, and parts of dotted keys in DVC: neither a dot nor a slash.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class Section(BaseModel):
    """Base of every section of params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: object) -> object:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields:
                    near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                    meant = f", did you mean {near[0]}?" if near else ""
                    raise ValueError(f"unknown key {key!r}{meant} (allowed: {', '.join(cls.model_fields)})")
        return values


class _Loader(yaml.SafeLoader):
    """safe_load that refuses a key given twice and reads 1e-3 as a number, as YAML 1.2 and DVC do."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ValueError(f"line {key_node.start_mark.line + 1}: key {key!r} is given twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ValueError: the file is not YAML, not a mapping, or gives a key twice.
    """
    try:
        values = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path}: expected a mapping of keys, found {type(values).__name__}")
    return values


def validated(kind: type[T], values: object, where: str) -> T:
    """`values` as a `kind`; `where` names them in the message.

    Raises:
        ValueError: one line with the first thing that is wrong: key, value, what is allowed.
    """
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
        raise ValueError(f"{where}{_one_line(details[0], values)}{more}") from None


def _one_line(error: ErrorDetails, values: object) -> str:
    path, found = [], values
    for position, part in enumerate(error["loc"], start=1):
        absent = error["type"] == "missing" and position == len(error["loc"])
        if absent or _holds(found, part):  # what else pydantic puts here, such as the tag of a union, is no key
            path.append(str(part))
            found = None if absent else found[part]
    message = error["msg"].removeprefix("Value error, ")
    message = f"{message[0].lower()}{message[1:]}"
    if not path:
        return message
    shown = "" if absent or isinstance(found, (Mapping, list)) else f" = {found!r}"
    return f"{'.'.join(path)}{shown}: {message}"


def _holds(container: object, part: int | str) -> bool:
    if isinstance(container, list):
        return isinstance(part, int) and part < len(container)
    return isinstance(container, Mapping) and part in container
