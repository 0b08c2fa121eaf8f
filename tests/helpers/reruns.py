"""What an engine runs again after a change, and what it leaves."""

import re
import shutil
from pathlib import Path

from tests.helpers.project import run, succeeded

GIT = ("git", "-c", "user.name=me", "-c", "user.email=me@localhost")
DETERMINISTIC = (
    "artifacts/runs",
    "artifacts/splits",
    "artifacts/features",
    "artifacts/backbones",
    "artifacts/data",
    "results/cells",
)


def copied(folder: Path, target: Path) -> Path:
    return shutil.copytree(folder, target / "project", symlinks=True)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for top in DETERMINISTIC
        for path in sorted((folder / top).rglob("*"))
        if path.is_file() and path.name not in (".snakemake_timestamp", "record.json")
    }


def rerun(folder: Path, engine: str, *, dry: bool = False) -> set[str]:
    """Run again, or with `dry` let Snakemake say what would run; the stages as DVC calls them, stage@cell."""
    if engine == "dvc":
        assert not dry, "`dvc repro --dry` stops at the first input that is not there yet"
        return set(re.findall(r"Running stage '(\S+)'", succeeded(run(folder, "dvc", "repro")).stdout))
    done = succeeded(run(folder, "snakemake", "--cores", "2", *(["--dry-run"] if dry else [])))
    jobs = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", done.stdout + done.stderr, re.MULTILINE)
    return {named(rule, re.search(r"wildcards: (.*)", body)) for rule, body in jobs} - {"all"}


def named(rule: str, wildcards: re.Match | None) -> str:
    """DVC's name of a Snakemake job."""
    values = re.findall(r"=([^,]+)", wildcards[1]) if wildcards else []
    return f"{rule}@{'-'.join(values)}" if values else rule


def edit(path: Path, more: str = "EDITED = True") -> None:
    """Add a line at the end, by default one that counts."""
    path.write_text(f"{path.read_text()}{more}\n")


def commit(folder: Path) -> None:
    succeeded(run(folder, "git", "add", "--all"))
    succeeded(run(folder, *GIT, "commit", "--quiet", "--message", "Results"))
