"""Copies of the project for benchmarks that run its commands, so that this tree stays unchanged."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.helpers.project import CODE, ROOT

INPUTS = ("code", "data", "backbones", "splits", "features", "config")  # what trainings read, under artifacts/
INIT = ("git", "init", "-q")


def copied(folder: Path, *, inputs: bool) -> None:
    """Fill `folder` with code and parameters. inputs: also what the stages before a training have made."""
    for part in (*CODE, "params.yaml", "assets", ".dvc/config", "pyproject.toml", "studies"):
        (folder / part).parent.mkdir(exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / part, folder / part)
    subprocess.run(INIT, cwd=folder, check=True)  # noqa: S603
    for name in INPUTS if inputs else ():  # links are safe: stages replace files and never modify them
        shutil.copytree(ROOT / "artifacts" / name, folder / "artifacts" / name, copy_function=link_or_copy)


def link_or_copy(source: str, target: str) -> None:
    """Make a hard link, or a copy if that fails (on another disk)."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)
