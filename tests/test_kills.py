"""Kills at random moments: the same command again ends in the bytes of an undisturbed run."""

import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.helpers import project
from tests.helpers.processes import alive, make_eager, said, scripts, started
from tests.helpers.project import run, succeeded
from tests.helpers.reruns import outputs

SEED = 20261123
KILLS = 40
COMMANDS = {  # as the README has them; the first is what `make repro` runs once .venv is there
    "dvc": "ulfine preflight && exec dvc repro",
    "snakemake": "exec snakemake --cores 2",
}
OUTPUTS = {  # of each stage, as patterns
    "resolve": "artifacts/code",
    "data": "artifacts/data",
    "backbone": "artifacts/backbones",
    "split": "artifacts/splits",
    "features": "artifacts/features",
    "train": "artifacts/runs/*/*/tiny",
    "baseline": "artifacts/runs/*/*/none",
    "evaluate": "results/cells/*/*/tiny",
    "evaluate_baseline": "results/cells/*/*/none",
    "aggregate": "results/tiny/*.csv",
    "report": "results/tiny/report.html",
}
SCRIPTS = {"evaluate_baseline": "evaluate"}  # with the backbone none
TARGETS = ("script", "engine", "group")
WITHOUT_PROCESS = {("snakemake", "resolve")}  # made while Snakemake reads its rules
SHORTER = 0.7  # a time within which a moment was drawn too late, for the next draw


@dataclass
class Tally:
    """What the kills hit."""

    stages: Counter = field(default_factory=Counter)
    engines: Counter = field(default_factory=Counter)
    targets: Counter = field(default_factory=Counter)
    missed: int = 0
    resumed: list[int] = field(default_factory=list)  # the steps at which trainings went on

    def __str__(self) -> str:
        shown = (dict(sorted(counter.items())) for counter in (self.stages, self.engines, self.targets))
        return f"seed {SEED}: {', '.join(map(str, shown))}, resumed at {self.resumed}, missed {self.missed} stages"


def small(folder: Path, params: dict) -> Path:
    """A project with trainings long enough to be hit, which write a checkpoint whenever they can."""
    project.make_project(folder)
    params["grid"] |= {"method": ["lp"], "seed": [0]}
    params["methods"]["lp"]["train"] = {"steps": 1000, "log_every": 10}
    params["methods"]["scratch"]["train"] |= {"steps": 120, "log_every": 10}
    project.write_params(folder, params)
    make_eager(folder)
    return folder


def awaited(folder: Path, engine: subprocess.Popen, stage: str) -> psutil.Process | None:
    """The first process of a stage; None when the engine ends before there is one."""
    while engine.poll() is None:
        for found in scripts(folder, SCRIPTS.get(stage, stage)):
            with suppress(psutil.Error):
                if ("none" in found.cmdline()) == (stage in SCRIPTS):
                    return found
        time.sleep(0.02)
    return None


def kill(folder: Path, stage: str, engine: str, target: str, moment: float) -> bool:
    """Make the engine run a stage, and kill some seconds after it came up; False when nothing was hit."""
    stages = list(OUTPUTS)[list(OUTPUTS).index(stage) :]
    for each in [stage] if engine == "dvc" else stages:  # Snakemake lets be what nothing needs that is missing itself
        for path in folder.glob(OUTPUTS[each]):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(folder / ".dvc/cache", ignore_errors=True)  # with the run-cache: DVC would restore and not run
    running = started(folder, COMMANDS[engine])
    hit = awaited(folder, running, stage)
    time.sleep(moment)
    was_alive = hit is not None and alive(hit)
    if was_alive:
        match target:
            case "script":
                hit.kill()
            case "engine":
                running.kill()
            case "group":
                os.killpg(running.pid, signal.SIGKILL)
    running.wait(timeout=280)
    if was_alive and target == "engine":  # it is gone, and no stage may go on without it
        deadline = time.monotonic() + 5
        while list(scripts(folder)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not list(scripts(folder)), "a stage trains on without its engine"
    return was_alive


def again(folder: Path, engine: str) -> str:
    """The same command once more; what it printed."""
    done = started(folder, COMMANDS[engine])
    done.wait(timeout=280)
    text = said(folder)
    assert done.returncode == 0, text[-3000:]
    return text


@pytest.mark.slow
def test_forty_kills_end_in_the_reference_bytes(tmp_path, params, capsys):
    reference = small(tmp_path / "reference", params)
    succeeded(run(reference, "snakemake", "--cores", "2"))
    expected = outputs(reference)
    folders = {engine: small(tmp_path / engine, params) for engine in COMMANDS}
    for engine, folder in folders.items():
        again(folder, engine)
        assert outputs(folder) == expected
    draw, tally = random.Random(SEED), Tally()  # noqa: S311
    plan = [case for case in itertools.product(OUTPUTS, COMMANDS) if case[::-1] not in WITHOUT_PROCESS]
    draw.shuffle(plan)
    longer = {"backbone": 4.0, "features": 4.0, "train": 10.0, "baseline": 10.0}
    within = dict.fromkeys(OUTPUTS, 1.2) | longer  # seconds that a stage takes on an idle machine
    for number, (stage, engine) in zip(range(KILLS), itertools.cycle(plan), strict=False):
        folder, target = folders[engine], TARGETS[number % len(TARGETS)]
        while not kill(folder, stage, engine, target, draw.uniform(0, within[stage])):
            tally.missed += 1
            within[stage] *= SHORTER
            assert within[stage] > 0.1, f"{engine} does not run {stage}"
        checkpoints = list((folder / "artifacts/checkpoints").glob("*.pt"))
        text = again(folder, engine)
        steps = [int(step) for step in re.findall(r"resuming at step (\d+)", text)]
        assert len(steps) == len(checkpoints), (stage, engine, target, text[-3000:])
        assert all(step > 0 for step in steps)
        found = outputs(folder)
        assert [name for name in expected if found.get(name) != expected[name]] == [], (stage, engine, target)
        assert found.keys() == expected.keys()
        tally.stages[stage] += 1
        tally.engines[engine] += 1
        tally.targets[target] += 1
        tally.resumed += steps
        with capsys.disabled():
            print(f"\n{tally}", end="", flush=True)
    assert set(tally.stages) == set(OUTPUTS) and tally.resumed
