"""The pipeline without its work: the same graph, commands and files, made by scripts that say what they made them from.

Whether an engine runs a job again goes by files and parameters, not by what the job computes. So all rows of a table of
reruns take minutes, and whether an output is stale stands in it.
"""

import ast
import copy
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from tests.helpers import project
from ulfine.files import digest
from ulfine.runner.jobs import Job, jobs
from ulfine.runner.provenance import origin

SCRIPT = '''"""Stands in for the script of this name."""

from ulfine.runner.stage import stage

from pathlib import Path

from ulfine.files import digest, new_folder, write_text
from ulfine.runner.jobs import Job, job
from ulfine.runner.provenance import origin


@stage
def main({arguments}) -> None:
    this = job("{name}", locals())
    for path in this.outputs:
        text = made_from(this, path)
        if Path(path).suffix:
            write_text(Path(path), text)
        else:
            with new_folder(Path(path)) as folder:
                write_text(folder / "content", text)


{made_from}

def depends() -> None:
    """Never called: the code that the real script depends on."""
    {imports}


if __name__ == "__main__":
    main()
'''


def made_from(this: Job, path: str) -> str:
    """A digest of parameters and inputs, but not of the code: an edit of it gives the same bytes, as comments do."""
    found = origin(this)
    inputs = {
        name: md5
        for name, md5 in found["inputs"].items()
        if not name.startswith(("artifacts/code/", "artifacts/config/"))
    }
    return digest([path, found["config"], inputs])


def imports(text: str) -> Iterator[str]:
    """The lines that import from the package, wherever they stand."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("ulfine."):
            yield ast.unparse(node)


def make(folder: Path) -> Path:
    """Fill `folder` with such a project: two splits, seeds and methods, one of these from scratch."""
    project.make_project(folder)
    for script in (folder / "stages").glob("*.py"):
        if script.stem not in ("__init__", "resolve"):
            text = script.read_text()
            filled = {
                "name": script.stem,
                "arguments": re.search(r"^def main\((?:config: \w+(?:, )?)?(.*)\) -> None:$", text, re.MULTILINE)[1],
                "imports": "\n    ".join(imports(text)),
                "made_from": inspect.getsource(made_from),
            }
            script.write_text(SCRIPT.format(**filled))
    params = copy.deepcopy(project.PARAMS)
    params["datasets"]["shapes"]["splits"]["flat"] = params["datasets"]["shapes"]["splits"]["tail"] | {"n1": 7}
    params["methods"] |= {"probe": {"tune": "head"}, "lp": {"extends": "probe"}}
    params["grid"] |= {"split": ["tail", "flat"], "method": ["lp"], "seed": [0, 1]}
    project.write_params(folder, params)
    return folder


def stale() -> list[str]:
    """Outputs of the grid in the current folder that were not made from what is there now."""

    def content(path: str) -> str:
        return (Path(path) if Path(path).is_file() else Path(path, "content")).read_text()

    return [path for job in jobs() for path in job.outputs if content(path) != made_from(job, path)]
