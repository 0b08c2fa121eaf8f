"""Run stages on disks that fill up or are read-only, and where memory ends; print what came of it, as JSON.

unshare --user --map-root-user --mount python -m tests.helpers.faults FOLDER CASES

Every stage is run in a fork of one process, which has imported everything and may mount: the disk is a tmpfs that has
the project on it, and whose size is set when the stage starts. CASES: a JSON list of [stage, fault, room, old]; fault
is full, read-only or memory, room the share of the output that fits. An output is gone before the stage starts, or with
`old` something else stands there.
"""

import json
import os
import runpy
import shutil
import subprocess
import sys
import traceback
from contextlib import chdir, nullcontext
from pathlib import Path
from unittest.mock import patch

from tests.helpers import project
from tests.helpers.project import ABOUT, CELL, ROOT
from ulfine.files import sha256
from ulfine.params.root import load
from ulfine.runner.jobs import PARAMS
from ulfine.runner.resolve import resolved, write

LP = CELL | {"method": "lp"}
STAGES = {  # in the order of the pipeline: arguments, outputs
    "data": (("dataset",), ["artifacts/data/shapes"]),
    "backbone": (("backbone",), ["artifacts/backbones/tiny"]),
    "split": (("dataset", "split", "seed"), ["artifacts/splits/shapes/tail/seed0.json"]),
    "features": (("dataset", "split", "backbone", "seed"), ["artifacts/features/shapes/tail/tiny/seed0"]),
    "train": (tuple(LP), ["artifacts/runs/shapes/tail/tiny/lp/seed0"]),
    "evaluate": (
        tuple(LP),
        [f"results/cells/shapes/tail/tiny/lp/seed0/{name}.json" for name in ("metrics", "record")],
    ),
    "sweep": (tuple(LP), ["results/cells/shapes/tail/tiny/frozen/seed0/sweep.csv"]),
    "aggregate": (
        (),
        [
            f"results/tiny/{name}"
            for name in ("runs.csv", "summary.csv", "cost.csv", "sweep.csv", "summary.md", "summary.tex")
        ],
    ),
    "report": ((), [f"results/tiny/{name}" for name in ("claims.json", "figures", "report.html")]),
}
ENDS = {  # what asks for more memory than there can be; under a real limit CPython hangs where a thread cannot start
    "data": "ulfine.data.pictures.square",
    "backbone": "ulfine.models.backbone._identity",
    "split": "ulfine.data.splits.draw_split",
    "features": "ulfine.models.extract.prototypes",
    "train": "ulfine.training.learner.Learner.losses",
    "evaluate": "ulfine.evaluation.cell.metrics",
    "sweep": "ulfine.training.learner.Learner.losses",
    "aggregate": "ulfine.evaluation.aggregate.markdown",
    "report": "ulfine.evaluation.page.inlined",
}
ROOM = 256 << 20  # bytes; enough for all
PAGE = 4096


def main() -> None:
    base, disk, log = (Path(sys.argv[1], name) for name in ("base", "disk", "log"))
    for folder in (base, disk):
        folder.mkdir()
    make_base(base)
    with chdir(base):  # whose configuration gives the number of threads
        imported()
    for stage in STAGES:
        done = run(stage, base, log)
        assert done["code"] == 0, done
    print(json.dumps([tried(*case, base, disk, log) for case in json.loads(sys.argv[2])]))


def make_base(folder: Path) -> None:
    for name in ("dvc.yaml", "stages", "ulfine", "assets", "CITATION.cff"):
        (folder / name).symlink_to(ROOT / name)
    project.write_pictures(folder / "pictures")
    project.write_backbone(folder)
    grid = project.PARAMS["grid"] | {"method": ["lp"], "seed": [0], "baseline": []}
    project.write_params(folder, project.PARAMS | {"grid": grid})
    with chdir(folder):
        write(resolved(load(PARAMS)))


def imported() -> None:
    """Import what the stages import, once."""
    for stage in STAGES:
        runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="imported")
    sys.modules["ulfine.runner.stage"]._require_own_package = lambda: None
    sys.modules["ulfine.training.checkpoint"].SECONDS = 0  # a checkpoint at each step


def tried(stage: str, fault: str, room: float, old: bool, base: Path, disk: Path, log: Path) -> dict:
    """What a stage says and changes; then, with room again, how what a second run leaves differs from `base`."""
    outputs = [Path(name) for name in STAGES[stage][1]]
    mount(f"size={ROOM}", "-t", "tmpfs", "none", str(disk))
    try:
        shutil.copytree(base, disk, symlinks=True, dirs_exist_ok=True)
        for output in outputs:
            put_old(disk / output, old)
        before = content(disk)
        if fault == "full":
            pages = sum(-(-path.stat().st_size // PAGE) for output in outputs for path in files(base / output))
            mount(f"remount,size={used(disk) + int(room * pages) * PAGE}", str(disk))
        elif fault == "read-only":
            mount("remount,ro", str(disk))
        found = run(stage, disk, log, ENDS[stage] if fault == "memory" else None)
        found["changed"] = changes(before, content(disk))
        if fault == "full":
            mount(f"remount,size={ROOM}", str(disk))
            found["again"] = run(stage, disk, log)
            found["differs"] = changes(content(base), content(disk))
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    return found


def mount(options: str, *arguments: str) -> None:
    subprocess.run(["mount", "-o", options, *arguments], check=True)


def used(disk: Path) -> int:
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def put_old(output: Path, old: bool) -> None:
    folder = output.is_dir()
    shutil.rmtree(output) if folder else output.unlink()
    if old:
        if folder:
            output.mkdir()
        (output / "old" if folder else output).write_text("old")


def files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())


def content(folder: Path) -> dict[str, str]:
    """Files by hash; not what a stage says about itself, nor the times in a record and what shows them."""
    paths = [path.relative_to(folder) for path in files(folder) if not {".snakemake", *ABOUT} & {*path.parts}]
    return {str(path): sha256(folder / path) if not timed(folder / path) else "" for path in paths}


def timed(path: Path) -> bool:
    of_times = path.stem in ("cost", "record") or path.name == "report.html"
    return ("records" in path.parts or of_times) and path.read_bytes() != b"old"


def changes(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def run(stage: str, folder: Path, log: Path, ends: str | None = None) -> dict:
    """Exit code (negative for a signal), and what was printed, of a stage in a fork; `ends`: where memory does."""
    outs = [log.with_suffix(f".{name}") for name in ("stdout", "stderr")]
    pid = os.fork()
    if not pid:
        for number, path in enumerate(outs, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.chdir(folder)
        code = 1
        try:
            with patch(ends, all_memory) if ends else nullcontext():
                code = as_script(stage)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    stdout, stderr = (path.read_text() for path in outs)
    return {"code": os.waitstatus_to_exitcode(status), "stdout": stdout, "stderr": stderr}


def all_memory(*_, **__) -> None:
    sys.modules["torch"].empty(1 << 60)


def as_script(stage: str) -> int:
    keys, _ = STAGES[stage]
    names = LP | ({"method": "frozen"} if stage == "sweep" else {})
    sys.argv = [stage, *project.options({key: names[key] for key in keys})]
    try:
        runpy.run_path(str(ROOT / "stages" / f"{stage}.py"), run_name="__main__")
    except SystemExit as error:
        print(error.code, file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
