"""Asks git about this tree."""

import shutil
import subprocess


def git(*arguments: str) -> str | None:
    """The output of `git …`; None where there is no git, no repository, or nothing of the kind."""
    command = shutil.which("git")
    if command is None:
        return None
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
    return done.stdout if done.returncode == 0 else None
