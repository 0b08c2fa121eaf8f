"""Full and read-only disks, too little memory, dead workers: one line, and nothing half-made."""

import errno
import json
import os
import resource
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from tests.helpers import project
from tests.helpers.faults import STAGES
from tests.helpers.project import ROOT
from ulfine.arrays import write_array, write_tensors
from ulfine.data.download import _append
from ulfine.data.features import Filling
from ulfine.errors import advising, explained, machine_failed
from ulfine.files import new_file, new_folder, write_text
from ulfine.training.checkpoint import Checkpoint

MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")
FAST = [  # a folder of arrays, a folder and a file that are both made or neither, four files of which none may be old
    *((stage, "full", 0.5, True) for stage in ("data", "train", "aggregate")),
    *(("data", "read-only", 0, True), ("features", "memory", 0, True), ("train", "memory", 0, False)),
]
SLOW = [
    *((stage, "full", room, old) for stage in STAGES for room in (0, 0.2, 0.5, 0.8, 0.95) for old in (True, False)),
    *((stage, fault, 0, old) for stage in STAGES for fault in ("read-only", "memory") for old in (True, False)),
]


def results(folder: Path, cases: list[tuple]) -> dict[tuple, dict]:
    if subprocess.run(
        [*MOUNTS, "mount", "-t", "tmpfs", "none", str(folder)], capture_output=True, check=False
    ).returncode:
        pytest.skip("this system lets users mount nothing, and no real disk can be filled")
    command = [*MOUNTS, sys.executable, "-m", "tests.helpers.faults", str(folder), json.dumps(cases)]
    environment = project.environment()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    return dict(zip(cases, json.loads(project.succeeded(done).stdout), strict=True))


@pytest.fixture(scope="module")
def fast(tmp_path_factory) -> dict[tuple, dict]:
    return results(tmp_path_factory.mktemp("fast"), FAST)


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> dict[tuple, dict]:
    return results(tmp_path_factory.mktemp("slow"), SLOW)


def require_one_line_and_nothing_half_made(case: tuple, found: dict) -> None:
    stage, fault, _, _ = case
    assert found["code"] == 1, found
    (line,) = found["stderr"].splitlines()
    assert line.startswith(stage) and line.isprintable()
    if fault == "memory":
        assert "memory" in line and ("batch_size" in line) == (stage in ("train", "sweep"))
    else:
        files, said = {
            "full": (STAGES[stage][1], "No space left on device"),
            "read-only": ([f"artifacts/logs/{stage}"], "Read-only file system"),  # which is written before the work
        }[fault]
        assert any(f": {path}" in line for path in files) and line.endswith(f": {said}")
    left = [path for path in found["changed"] if "artifacts/checkpoints/" not in path]
    assert left == []
    if fault == "full":
        assert found["again"]["code"] == 0 and found["differs"] == []


@pytest.mark.parametrize("case", FAST, ids=str)
def test_a_fault_ends_in_one_line_and_leaves_what_was_there(fast, case):
    require_one_line_and_nothing_half_made(case, fast[case])


@pytest.mark.slow
@pytest.mark.parametrize("case", SLOW, ids=str)
def test_a_fault_at_any_point_ends_in_one_line(slow, case):
    require_one_line_and_nothing_half_made(case, slow[case])


@pytest.mark.slow
def test_a_training_goes_on_where_no_checkpoint_fits(slow):
    found = slow["train", "full", 0, True]
    (line,) = found["stdout"].splitlines()
    assert line.startswith("artifacts/checkpoints/")
    assert line.endswith(".pt: No space left on device; training goes on, but no checkpoint is kept")
    assert ": artifacts/runs/shapes/tail/tiny/lp/seed0" in found["stderr"]  # it came to its end


@contextmanager
def small_files(size: int):
    """No file grows beyond `size` bytes; what is written beyond that fails as on a full disk, by another number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [1 << 12, 1 << 16, 1 << 19])
def test_a_checkpoint_that_does_not_fit_is_said_once_and_the_old_one_stays(tmp_path, capsys, size):
    checkpoint = Checkpoint(tmp_path / "a.pt", torch.device("cpu"))
    checkpoint.save({"done": 1})
    with small_files(size):
        for done in (2, 3):
            checkpoint.save({"done": done, "weights": torch.zeros(1 << 17)})
    expected = f"{tmp_path}/a.pt: File too large; training goes on, but no checkpoint is kept\n"
    assert capsys.readouterr().out == expected
    assert checkpoint.load() == {"done": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]
    checkpoint.save({"done": 4})
    assert checkpoint.load() == {"done": 4}


def test_an_error_of_ours_in_a_checkpoint_is_not_taken_for_a_full_disk(tmp_path):
    with pytest.raises(TypeError):
        Checkpoint(tmp_path / "a.pt", torch.device("cpu")).save({"done": BytesIO().getbuffer()})


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_text(path, "a" * (1 << 17)),
        lambda path: write_tensors(path, {"a": np.zeros(1 << 17)}),
    ],
)
def test_a_file_that_does_not_fit_is_named_and_the_old_one_stays(tmp_path, write):
    (tmp_path / "a").write_text("old")
    with pytest.raises(OSError) as caught, small_files(1 << 16):
        write(tmp_path / "a")
    assert explained(caught.value) == f"{tmp_path}/a: File too large"
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: write_array(folder / "a.npy", np.zeros(1 << 17)),
        lambda folder: Filling(folder / "a.npy", (1 << 15, 4)),
        lambda folder: (folder / "a").write_text("a" * (1 << 17)),
    ],
)
def test_a_folder_that_does_not_fit_is_named_and_the_old_one_stays(tmp_path, write):
    write_text(tmp_path / "b/old", "old")
    with pytest.raises(OSError) as caught, small_files(1 << 16), new_folder(tmp_path / "b") as part:
        write(part)
    assert explained(caught.value) == f"{tmp_path}/b: File too large"
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["b", "b/old"]


def test_a_file_under_a_temporary_name_is_told_by_its_own(tmp_path):
    with pytest.raises(OSError) as caught, new_folder(tmp_path / "b") as part:
        (part / "c").open()
    assert explained(caught.value) == f"{tmp_path}/b/c: No such file or directory"


def test_an_error_of_reading_is_not_blamed_on_the_folder_that_is_written(tmp_path):
    with pytest.raises(OSError) as caught, new_folder(tmp_path / "b"):
        raise OSError(errno.EIO, "Input/output error")
    assert explained(caught.value) == "Input/output error"
    with pytest.raises(OSError) as caught, new_file(tmp_path / "b"):  # whose block does nothing but write
        raise OSError(errno.EIO, "Input/output error")
    assert explained(caught.value) == f"{tmp_path}/b: Input/output error"


def test_the_old_folder_comes_back_when_the_new_one_cannot_take_its_name(tmp_path, monkeypatch):
    write_text(tmp_path / "b/old", "old")
    rename = Path.rename

    def refuse(path, target):
        if path.name == ".b.part":
            raise OSError(errno.ENOSPC, "No space left on device", str(path), None, str(target))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError) as caught, new_folder(tmp_path / "b") as part:
        (part / "new").touch()
    assert explained(caught.value) == f"{tmp_path}/b: No space left on device"
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["b", "b/old"]


def test_a_download_that_does_not_fit_is_named_and_can_go_on(tmp_path):
    with pytest.raises(OSError) as caught, small_files(1 << 16):
        _append(BytesIO(b"a" * (1 << 17)), tmp_path / "a.part", 0, 1 << 17)
    assert explained(caught.value) == f"{tmp_path}/a.part: File too large"


def numpy_error() -> None:
    np.empty(1 << 60, np.uint8)


def torch_error() -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


def python_error() -> None:
    bytearray(1 << 62)


@pytest.mark.parametrize(
    ("fail", "line"),
    [
        (numpy_error, "out of memory (1.00 EiB more were asked for)"),
        (torch_error, f"out of memory ({1 << 60} bytes more were asked for)"),
        (python_error, "out of memory"),
    ],
)
def test_memory_that_ends_is_told_with_how_much_and_what_takes_less(fail, line):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        fail()
    assert explained(caught.value) == line and machine_failed(caught.value)
    with pytest.raises((MemoryError, RuntimeError)) as caught, advising("a smaller a takes less"):
        fail()
    assert explained(caught.value) == f"{line}; a smaller a takes less"


CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.25 GiB of which 3.12 MiB is "
    "free.\nProcess 1 has 79.24 GiB memory in use."
)
WORKER = (
    "Caught OSError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
    '  File "a.py", line 1, in <module>\n    open("x.png")\nOSError: x.png: cannot be read\n'
)
DIED = "a process that prepares data died, often for want of memory ({}); run again"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (torch.OutOfMemoryError(CUDA), "out of memory on the GPU (20.00 MiB more were asked for)"),
        (RuntimeError("CUDA error: out of memory\nCompile with"), "out of memory on the GPU"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), "out of memory on the GPU"),
        (RuntimeError("std::bad_alloc"), "out of memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory", "a.npy"), "a.npy: Cannot allocate memory"),
        (
            RuntimeError("DataLoader worker (pid(s) 12, 13) exited unexpectedly"),
            DIED.format("DataLoader worker (pid(s) 12, 13) exited unexpectedly"),
        ),
        (
            RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed. "),
            DIED.format("DataLoader worker (pid 12) is killed by signal: Killed."),
        ),
        (BrokenProcessPool("A process was terminated"), DIED.format("A process was terminated")),
        (OSError(WORKER), "x.png: cannot be read"),
        (ValueError(WORKER), "x.png: cannot be read"),
        (ValueError("a\n  b"), "a b"),
        (OSError(errno.ENOSPC, "No space left on device", b"a\nb"), r"'a\nb': No space left on device"),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            os.strerror(errno.ENOSPC),
        ),
        (Exception("Input/output error (os error 5)"), os.strerror(errno.EIO)),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (SafetensorError("invalid header"), None),
        (KeyError("a"), None),
        (KeyboardInterrupt(), None),
    ],
)
def test_an_error_is_told_in_one_line_unless_it_is_a_bug(error, line):
    assert explained(error) == line
