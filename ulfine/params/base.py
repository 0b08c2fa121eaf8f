"""The base of every section: unknown keys are refused, types are strict, an error is one line that names the key."""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, ErrorDetails, core_schema

from ulfine.files import canonical, merge_mark

T = TypeVar("T")


@dataclass(frozen=True)
class Spelled:
    """Text that `pattern` matches as a whole; `words` say so to a user who wrote another."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._matched, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(schema) | {"pattern": f"^{self.pattern}$"}

    def _matched(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.words)
        return text


# Names become folder names, and parts of dotted keys in DVC: neither a dot nor a slash.
Name = Annotated[
    str,
    Spelled(
        r"[A-Za-z0-9][A-Za-z0-9_-]*",
        "only letters (a-z, A-Z), digits, _ and -, beginning with a letter or digit",
    ),
]
Sha256 = Annotated[
    str,
    Spelled("[0-9a-f]{64}", "64 hexadecimal digits in lower case (sha256sum FILE prints them)"),
    Field(description="hash of the file, so that a change of its content is noticed"),
]

PathText = Annotated[str, Field(min_length=1)]

# What pydantic says in a programmer's words, by the type of its error.
SAID = {
    "string_type": "input should be text (in quotes where YAML reads another thing)",
    "int_type": "input should be a whole number",
    "float_type": "input should be a number",
    "bool_type": "input should be true or false",
    "list_type": "input should be a list ([a, b])",
    "dict_type": "input should be a section ({{key: value}})",
    "model_type": "input should be a section ({{key: value}})",
    "model_attributes_type": "input should be a section ({{key: value}})",
    "too_short": "has too few entries: {actual_length} (allowed: at least {min_length})",
    "too_long": "has too many entries: {actual_length} (allowed: at most {max_length})",
    "string_too_short": "input should be text of at least {min_length} character",
}
SHOULD = "input should be "


class Section(BaseModel):
    """Base of every section of params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    def as_json(self) -> dict[str, Any]:
        """JSON values without absent keys; the same for 2 and 2.0."""
        return canonical(self.model_dump(mode="json", exclude_none=True))

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


class _Rules:
    """safe_load that reads what YAML 1.2, and so DVC, reads, and refuses what they would read differently.

    1e-3 and 1.5e3 are numbers. A key given twice, a merge key, 010 (8 or 10?) and on (true or a word?) are refused, and
    so is a key that is no text to YAML: null, true, 2020.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError) as error:
            text = str(error)
            raise ValueError(text if text.startswith("line ") else f"{_line(node)}: {text}") from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode) or key.tag == f"{TAG}merge":
                raise ValueError(f"{_line(key)}: a key must be a word")
            if key.value in seen:
                raise ValueError(f"{_line(key)}: key {key.value!r} is given twice")
            seen.add(key.value)
            self.require_text(key)
        return super().construct_mapping(node, deep)

    def require_text(self, node: yaml.ScalarNode) -> None:
        """Refuse a key that would become another text than what stands in the file, or none."""
        if node.tag != TEXT:
            found = node.value or "(nothing)"
            raise ValueError(f'{_line(node)}: {found} is no text to YAML; quote it: "{node.value}"')

    def construct_plain(self, node: yaml.ScalarNode) -> int | bool:
        kind = node.tag.removeprefix(TAG)
        if not PLAIN[kind].fullmatch(node.value):
            raise ValueError(f"{_line(node)}: {node.value} is ambiguous; write {EXAMPLES[kind]}, or quote it")
        return self.construct_yaml_int(node) if kind == "int" else self.construct_yaml_bool(node)


class _Loader(_Rules, yaml.SafeLoader):
    """In Python."""


class _FastLoader(_Rules, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """By libyaml, which reads params.yaml twenty times as fast, but dies of text that is nested too deeply."""

    @staticmethod
    def takes(text: str) -> bool:
        """Whether it surely is not: no level of nesting is without an opening bracket or a column of its own."""
        return text.count("[") + text.count("{") + max(map(len, text.splitlines()), default=0) <= DEEPEST


class _TextLoader(_Loader):
    """Takes text alone; a key may also be a whole number, which is the text that stands there."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode):
            super().require_text(node)
        return super().construct_object(node, deep)

    def require_text(self, node: yaml.ScalarNode) -> None:
        if node.tag == f"{TAG}int" and NUMBER.fullmatch(node.value):
            node.tag = TEXT
        super().require_text(node)


TAG = "tag:yaml.org,2002:"
TEXT = f"{TAG}str"
DEEPEST = 1000  # levels; at most these many pass through libyaml
NUMBER = re.compile(r"0|-?[1-9]\d*")  # str(int(…)) of it is the same
EXPONENT = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
PLAIN = {"int": re.compile(r"[-+]?(0|[1-9]\d*)"), "bool": re.compile("true|false", re.IGNORECASE)}
EXAMPLES = {"int": "a decimal number without leading zeros", "bool": "true or false"}
for _loader in (_Loader, _FastLoader):
    _loader.add_implicit_resolver(f"{TAG}float", EXPONENT, list("-+.0123456789"))
    for _kind in PLAIN:
        _loader.add_constructor(f"{TAG}{_kind}", _loader.construct_plain)


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"


def read_yaml(path: Path, text_alone: bool = False) -> dict[str, Any]:
    """The mapping in a YAML file: as long as the text is the same, the same object, which nobody may change.

    text_alone: values are text, or lists and mappings of it, and keys are text or whole numbers, which become text.

    Raises:
        ValueError: the file is not YAML, not a mapping, gives a key twice, or can be read in two ways; or something is
            not the text that it must be.
    """
    try:
        return parsed(path.read_text(encoding="utf-8"), str(path), text_alone)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None


@lru_cache(maxsize=8)  # Snakemake's rules ask for params.yaml once for each cell
def parsed(text: str, where: str, text_alone: bool = False) -> dict[str, Any]:
    """The mapping in a YAML text; `where` names it in the message, see `read_yaml`."""
    line = merge_mark(text)
    if line:
        raise ValueError(f"{where}: line {line} is a mark of a merge that git has left; keep one of both sides")
    loader = _TextLoader if text_alone else _FastLoader if _FastLoader.takes(text) else _Loader
    try:
        values = loader(text).get_single_data()
    except yaml.YAMLError as error:
        raise ValueError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    except RecursionError:
        raise ValueError(f"{where}: nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a mapping of keys, found {type(values).__name__}")
    return values


def validated(kind: type[T], values: object, where: str) -> T:
    """`values` as a `kind`; `where` names them in the message.

    Raises:
        ValueError: one line with the first thing that is wrong: key, value, what is allowed.
    """
    try:
        return TypeAdapter(kind).validate_python(values, strict=True)
    except ValidationError as error:
        places: dict[str, list[str]] = {}  # of a value that may be of several kinds, each kind has its complaint
        for details in map(_at_tag, error.errors(include_url=False)):
            places.setdefault(_place(details, values), []).append(_message(details))
        (place, messages), *others = places.items()
        more = f" (and {len(others)} more)" if others else ""
        raise ValueError(f"{where}{place}{_either(messages)}{more}") from None


def _at_tag(error: ErrorDetails) -> ErrorDetails:
    """Turn a wrong or missing `kind` (or `shape`) of a section into an error of that key like any other."""
    if not error["type"].startswith("union_tag_"):
        return error
    at = {"loc": (*error["loc"], error["ctx"]["discriminator"].strip("'"))}
    if error["type"] == "union_tag_not_found":
        return error | at | {"type": "missing", "msg": "Field required"}
    return error | at | {"msg": f"Input should be one of {error['ctx']['expected_tags']}"}


def _place(error: ErrorDetails, values: object) -> str:
    """The key and its value, as a message begins; nothing where the whole is meant."""
    path, found = [], values
    for position, part in enumerate(error["loc"], start=1):
        absent = error["type"] == "missing" and position == len(error["loc"])
        if absent or _holds(found, part):  # what else pydantic puts here, such as the tag of a union, is no key
            path.append(str(part))
            found = None if absent else found[part]
    if not path:
        return ""
    shown = "" if absent or isinstance(found, (Mapping, list)) else f" = {found!r}"
    return f"{'.'.join(path)}{shown}: "


def _message(error: ErrorDetails) -> str:
    if error["type"] in SAID:
        return SAID[error["type"]].format_map(error.get("ctx", {}))
    message = error["msg"].removeprefix("Value error, ")
    return f"{message[0].lower()}{message[1:]}"


def _either(messages: list[str]) -> str:
    first, *others = dict.fromkeys(messages)
    return " or ".join([first, *(message.removeprefix(SHOULD) for message in others)])


def _holds(container: object, part: int | str) -> bool:
    if isinstance(container, list):
        return isinstance(part, int) and part < len(container)
    return isinstance(container, Mapping) and part in container
