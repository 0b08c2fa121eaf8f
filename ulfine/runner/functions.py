"""The functions that others may build on, made from the code into a page: signatures and docstrings."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

HEADER = """# Functions

What a notebook, or a project of yours, may import. Made by `ulfine reference` from the code. [library.md](library.md)
has PAF and DLF in a loop of your own; [results.ipynb](results.ipynb) reads what a study leaves. Modules that are not
here, and names that begin with `_`, change without notice.
"""
PUBLIC: Mapping[str, Mapping[str, tuple[str, ...]]] = {  # by title; of a module with no names, all that are public
    "Equations": {
        "ulfine.methods.paf": (),
        "ulfine.methods.dlf": (),
        "ulfine.methods.fixmatch": (),
        "ulfine.methods.prior": (),
        "ulfine.methods.losses": (),
        "ulfine.methods.zero_shot": (),
        "ulfine.methods.training_free": (),
        "ulfine.methods.rivals.base": (),
    },
    "Long-tailed splits": {
        "ulfine.data.splits": ("decaying_counts", "unlabeled_counts", "class_order", "draw_split"),
    },
    "What a study leaves": {
        "ulfine.arrays": ("open_array", "read_tensors"),
        "ulfine.files": ("read_json", "read_csv"),
        "ulfine.data.store": ("Store", "open_store"),
        "ulfine.data.features": ("Features", "Text"),
    },
    "Scores": {
        "ulfine.evaluation.metrics": (),
        "ulfine.evaluation.intervals": ("paired", "t_interval", "bootstrap_interval"),
        "ulfine.evaluation.ranks": (),
    },
    "Towers and classifiers": {
        "ulfine.models.backbone": ("load_image_tower", "load_frozen_tower", "load_text_tower"),
        "ulfine.models.tower": (),
        "ulfine.models.adapters": ("Bottleneck", "insert_adapters"),
        "ulfine.models.classifiers": (),
    },
    "Finished runs": {
        "ulfine.runner.runs": (),
        "ulfine.runner.trained": (),
    },
}


def functions() -> str:
    """The page."""
    parts = [HEADER]
    for title, modules in PUBLIC.items():
        parts.append(f"## {title}\n")
        parts += (_section(module, names) for module, names in modules.items())
    return "\n".join(parts)


def _section(module: str, names: tuple[str, ...]) -> str:
    tree = ast.parse(Path(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8"))
    found = {node.name: ast.unparse(_stub(node)) for node in _public(tree)}
    shown = "\n\n".join(found[name] for name in names or found)
    return f"### {module}\n\n{ast.get_docstring(tree)}\n\n```python\n{shown}\n```\n"


def _public(of: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    for node in of.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node


def _stub(node: ast.ClassDef | ast.FunctionDef) -> ast.AST:
    """A definition without its code: of a class its fields, its start and what is public."""
    said = [node.body[0]] if ast.get_docstring(node) is not None else []
    if isinstance(node, ast.ClassDef):
        start = [each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
        node.body = [
            *said,
            *(each for each in node.body if isinstance(each, ast.AnnAssign)),
            *map(_stub, [*start, *_public(node)]),
        ]
    else:
        node.body = said or [ast.Expr(ast.Constant(...))]
    return node
