"""The science that each script of stages/ depends on: its modules, found by their imports, with a hash of each.

Comments, docstrings and layout do not count, nor does the runner, which changes no result. One file of hashes for each
script is what the engines watch, where the modules themselves would be tens of inputs for each cell of the grid.
"""

import ast
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ulfine.files import md5, read_json, write_if_changed
from ulfine.runner.jobs import CODE, RESOLVE, Job

RUNNER = Path("ulfine/runner")
EVERYWHERE = ("ulfine/threads.py",)  # each process imports it, whatever the stage
MEMORY = Path("artifacts/fingerprints/code.json")  # what was parsed before, by path; may be deleted at any time
FILE_NAME = re.compile(r"\w[\w-]*(\.\w+)+")
TEXT_ONLY = ("type_comment", "kind")  # fields of a node that say how something is written, not what it does


def code_hashes() -> dict[Path, dict[str, str]]:
    """For each file of CODE, the modules that its script depends on, each with its hash.

    Raises:
        ValueError: a module is not valid Python.
    """
    scripts = [path for path in Path("stages").glob("*.py") if path.stem not in ("__init__", RESOLVE)]
    known = _Modules()
    found = {CODE / f"{script.stem}.json": known.closure(script) for script in sorted(scripts)}
    known.keep()
    return found


def refresh_code(job: Job) -> None:
    """Bring the hashes of the code of a job that starts up to date.

    The code may have been edited since the engine began, which would record the edited code under the old hashes.
    """
    path = Path(job.code)
    if path.exists():
        write_if_changed(path, _Modules().closure(Path("stages", f"{path.stem}.py")))


class _Modules:
    """Hashes and imports of modules; each is parsed once as long as its content stays the same."""

    def __init__(self) -> None:
        self.before = read_json(MEMORY) if MEMORY.exists() else {}
        self.now: dict[str, dict[str, Any]] = {}

    def closure(self, script: Path) -> dict[str, str]:
        """Hashes of a script and of all that it imports, directly or not, but the runner; packages hold no code."""
        found, open_ = {}, [str(script), *EVERYWHERE]
        while open_:
            path = open_.pop()
            if path not in found:
                module = self._module(path)
                found[path] = module["hash"]
                open_ += module["needs"]
        return dict(sorted(found.items()))

    def keep(self) -> None:
        """Remember what was parsed."""
        write_if_changed(MEMORY, self.before | self.now)

    def _module(self, path: str) -> dict[str, Any]:
        if path not in self.now:
            content = md5(Path(path))
            known = self.before.get(path)
            same = known and known["md5"] == content and all(Path(needed).is_file() for needed in known["needs"])
            self.now[path] = known if same else {"md5": content, **_parsed(Path(path), content)}
        return self.now[path]


def _parsed(path: Path, content: str) -> dict[str, Any]:
    if path.suffix != ".py":
        return {"hash": content, "needs": []}
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise ValueError(f"{path}: line {error.lineno} is not valid Python ({error.msg})") from None
    return {"hash": meaning(tree), "needs": sorted({*_imports(tree), *_files_beside(tree, path)})}


def meaning(tree: ast.AST) -> str:
    """A hash of what a program does; alike in all versions of Python, which `ast.dump` and `ast.unparse` are not."""
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest()


def _plain(node: Any) -> Any:
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if name not in TEXT_ONLY}
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
    absent = (None, [])  # newer versions have more fields, which are absent from older programs
    return [type(node).__name__, [(name, _plain(value)) for name, value in fields.items() if value not in absent]]


def _imports(node: ast.AST) -> Iterator[str]:
    """Files of this package that a program imports, now or later, but for the types alone."""
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom) and node.module:
        inside = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from filter(None, map(_file, [node.module, *inside]))
    elif isinstance(node, ast.Import):
        yield from filter(None, (_file(alias.name) for alias in node.names))
    for child in ast.iter_child_nodes(node):
        yield from _imports(child)


def _file(module: str) -> str | None:
    path = Path(*module.split(".")).with_suffix(".py")
    own = module.startswith(("ulfine.", "stages.")) and not path.is_relative_to(RUNNER)
    return path.as_posix() if own and path.is_file() else None


def _files_beside(tree: ast.AST, path: Path) -> Iterator[str]:
    """Files that lie beside a module and that it names, such as templates."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and FILE_NAME.fullmatch(node.value):
            beside = path.with_name(node.value)
            if beside.suffix != ".py" and beside.is_file():
                yield beside.as_posix()
