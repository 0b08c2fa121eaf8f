"""Two at once on one tree, Ctrl-C, and an engine that is killed: nothing is damaged, and nothing is left running."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import project
from tests.helpers.processes import make_eager, said, scripts, started
from tests.helpers.project import run, succeeded
from tests.helpers.reruns import copied, outputs

COMMANDS = {"dvc": "exec dvc repro", "snakemake": "exec snakemake --cores 2"}


def training(folder: Path, engine: subprocess.Popen[str]) -> None:
    """Wait until a training has written a checkpoint."""
    deadline = time.monotonic() + 90
    while not list(folder.glob("artifacts/checkpoints/*.pt")):
        assert engine.poll() is None and time.monotonic() < deadline, said(folder)
        time.sleep(0.1)


def resumed(folder: Path, engine: subprocess.Popen[str]) -> None:
    """Wait until a training goes on from its checkpoint."""
    while not re.search(r"resuming at step [1-9]", said(folder)):
        assert engine.poll() is None, said(folder)
        time.sleep(0.1)


def require_stopped(folder: Path, engine: subprocess.Popen[str], interrupt: Callable[[], None]) -> None:
    """Interrupt; all of it must end within seconds, and say how to go on."""
    interrupt()
    began = time.monotonic()
    assert engine.wait(timeout=30) != 0
    assert time.monotonic() - began < 5
    assert not list(scripts(folder))
    assert "stopped; give the same command again to go on" in said(folder)
    assert "stopped" in (folder / "artifacts/logs/train/shapes/tail/tiny/lp/seed0.log").read_text()
    assert not list(folder.glob("artifacts/**/.*.part"))


@pytest.mark.parametrize("engine", [pytest.param("dvc", marks=pytest.mark.slow), "snakemake"])
def test_one_engine_at_a_time_and_ctrl_c_ends_it(by_dvc, by_snakemake, params, engine, tmp_path):
    folder = copied(by_dvc if engine == "dvc" else by_snakemake, tmp_path)
    params["grid"] |= {"method": ["lp"], "seed": [0], "baseline": [], "sweep": []}  # nothing ends beside the training
    params["methods"]["lp"]["train"] = {"steps": 200_000}
    project.write_params(folder, params)
    make_eager(folder)
    first = started(folder, COMMANDS[engine])
    training(folder, first)
    before = outputs(folder)

    for command in COMMANDS.values():
        refused = run(folder, "sh", "-c", command)
        text = refused.stdout + refused.stderr
        assert refused.returncode != 0 and str(first.pid) in text and f"{engine} " in text, text
    status = succeeded(run(folder, "ulfine", "status")).stdout
    assert f"(process {first.pid}) is at work" in status and "running: train@shapes-tail-tiny-lp-0" in status
    for name in ("preflight", "commit"):
        refused = run(folder, "ulfine", name)
        assert refused.returncode == 1 and f"(process {first.pid}) is at work here" in refused.stderr
    assert first.poll() is None and outputs(folder) == before

    require_stopped(folder, first, lambda: os.killpg(first.pid, signal.SIGINT))
    if engine == "snakemake":  # DVC does not listen while a stage runs
        alone = started(folder, COMMANDS[engine])
        resumed(folder, alone)
        require_stopped(folder, alone, lambda: alone.send_signal(signal.SIGINT))

    again = started(folder, COMMANDS[engine])
    resumed(folder, again)
    again.kill()
    again.wait()
    began = time.monotonic()
    while list(scripts(folder)):
        assert time.monotonic() - began < 5, "a stage trains on without its engine"
        time.sleep(0.1)
    assert "the engine that started it has ended" in said(folder)
