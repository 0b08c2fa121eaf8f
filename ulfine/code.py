"""Which code a stage depends on: a manifest with the hash of each of its files, which both engines watch.

One file for a stage, where the files themselves would be tens of inputs for each cell of the grid. A manifest is
rewritten only when its content changes, since Snakemake goes by its time.
"""

from pathlib import Path

from ulfine.files import md5, read_json, write_together
from ulfine.params.base import read_yaml, validated
from ulfine.pipeline import manifest

LISTS = Path("stages/code.yaml")


def manifests() -> dict[str, dict[str, str]]:
    """Of each stage, its Python files with their md5 in hexadecimal.

    Raises:
        ValueError: stages/code.yaml names a file that is not there.
    """
    lists = validated(dict[str, list[str]], read_yaml(LISTS), f"{LISTS}: ")
    for stage, paths in lists.items():
        for path in paths:
            if not Path(path).is_file():
                raise ValueError(f"{LISTS}: {stage}: {path}: no such file")
    hashes = {path: md5(Path(path)) for path in set().union(*lists.values())}
    return {stage: {path: hashes[path] for path in paths} for stage, paths in lists.items()}


def write_manifests() -> list[Path]:
    """Bring the manifests of all stages up to date; their paths."""
    return [_written(manifest(stage, {}), hashes) for stage, hashes in manifests().items()]


def refresh(stage: str, cell: dict[str, str | int]) -> None:
    """Bring the manifest of a stage that starts up to date, if it has one.

    The code may have been edited since the engine began; it would record the edited code under the hashes of the old.
    """
    path = manifest(stage, cell)
    if path.exists():
        _written(path, {file: md5(Path(file)) for file in read_json(path)})


def _written(path: Path, hashes: dict[str, str]) -> Path:
    if not path.exists() or read_json(path) != hashes:
        write_together(path, hashes)
    return path
