"""Questions to git about this tree."""

import shutil
import subprocess


def git(*arguments: str) -> str | None:
    """Run `git …` and return what it prints; None without git, outside a repository, or if the command fails."""
    command = shutil.which("git")
    if command is None:
        return None
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 (our own words)
    return done.stdout if done.returncode == 0 else None
