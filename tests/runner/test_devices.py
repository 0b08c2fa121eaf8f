"""Processes that run side by side take a GPU each: pretended ones, as only their names matter here."""

import os
import subprocess
import sys

import pytest
import yaml

from tests.helpers import project, standins
from ulfine.runner import devices

TAKES_ONE = """
import os, sys
from ulfine.runner.devices import own_device
with own_device(sys.argv[1], f"process {os.getpid()}"):
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    input()
"""


@pytest.fixture
def cell(tmp_path):
    """Start a process that takes a GPU and keeps it until it is told to end; `seen` is what it may choose from."""
    started = []

    def start(seen: str | None, device: str = "cuda") -> subprocess.Popen:
        environment = {key: value for key, value in os.environ.items() if key != devices.VISIBLE}
        environment |= {"TMPDIR": str(tmp_path)} | ({} if seen is None else {devices.VISIBLE: seen})
        command = [sys.executable, "-c", TAKES_ONE, device]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen) -> str:
    return process.stdout.readline().strip()


def test_no_device_is_used_twice_and_a_killed_cell_frees_its_own(cell):
    first, second = cell("4,7"), cell("4,7")
    taken = {said(first), said(second)}
    assert taken == {"4", "7"}
    third = cell("4,7")
    waits = said(third)
    assert waits.startswith("waiting for process ") and str(first.pid) in waits and str(second.pid) in waits
    second.kill()
    assert said(third) in taken  # while the first goes on
    assert first.poll() is None


def test_names_of_devices_may_be_those_that_nvidia_gives(cell):
    assert said(cell("GPU-8932f937,MIG-GPU-8932f937/1/0")) == "GPU-8932f937"
    assert said(cell("GPU-8932f937,MIG-GPU-8932f937/1/0")) == "MIG-GPU-8932f937/1/0"


@pytest.mark.parametrize("seen", ["0", "", "-1"])
def test_a_choice_that_is_made_already_is_left_alone(cell, seen):
    assert said(cell(seen)) == seen
    assert said(cell(seen)) == seen


def test_the_cpu_needs_no_turn(cell):
    assert said(cell(None, "cpu")) == "None"
    assert said(cell("0,1", "cpu")) == "0,1"


def test_a_device_by_its_number_is_waited_for_while_others_are_free(cell):
    first = cell("0,1", "cuda:1")
    assert said(first) == "0,1"  # its number goes by this list
    second = cell("0,1", "cuda:1")
    assert said(second) == f"waiting for process {first.pid}"
    assert said(cell("0,1")) == "0"


def test_without_the_variable_all_devices_of_the_machine_count(monkeypatch, tmp_path):
    monkeypatch.setenv(devices.VISIBLE, "")  # absent or not before, it is put back as it was
    monkeypatch.delenv(devices.VISIBLE)
    monkeypatch.setattr(devices, "COUNT", "print(2)")
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    with devices.own_device("cuda", "this"):
        assert os.environ[devices.VISIBLE] == "0"
        monkeypatch.delenv(devices.VISIBLE)
        with devices.own_device("cuda", "that"):
            assert os.environ[devices.VISIBLE] == "1"
            monkeypatch.delenv(devices.VISIBLE)


def test_trainings_side_by_side_are_on_different_devices(tmp_path):
    folder = standins.make(tmp_path / "project")
    params = yaml.safe_load((folder / "params.yaml").read_text())
    project.write_params(folder, params | {"runtime": {"device": "cuda", "num_threads": 1}})
    script = folder / "stages/train.py"
    tells = "    import os\n    print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True)\n    input()\n    this = job("
    script.write_text(script.read_text().replace("    this = job(", tells))
    environment = project.environment() | {devices.VISIBLE: "0,1", "TMPDIR": str(tmp_path)}
    started = []
    for split, seed in (("tail", 0), ("tail", 1), ("flat", 0)):
        names = project.CELL | {"split": split, "method": "lp", "seed": seed}
        project.configure(folder, "train", names)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-m", "stages.train", *project.options(names)]
        started.append(subprocess.Popen(command, cwd=folder, env=environment, **pipes))
        if len(started) == 2:
            assert {said(process) for process in started} == {"0", "1"}
    first, second, third = started
    assert said(third).startswith("waiting for process ")
    first.kill()
    assert said(third) in ("0", "1") and second.poll() is None
    for process in (second, third):
        process.communicate("\n", timeout=60)
        assert process.returncode == 0
    first.communicate()
