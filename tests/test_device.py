"""A requested GPU that is absent: refused before any work, but only if its absence is certain."""

import sys
from pathlib import Path

import pytest

from tests.helpers.project import PARAMS, run, succeeded, write_params
from ulfine import device as module
from ulfine.device import devices, require_device, require_not_absent
from ulfine.runner.preflight import checked

BUILT = "__version__ = '9.9'\ndebug = False\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = {hip}\n"
FAR = "cuda:99"  # on any machine that tests run on


@pytest.fixture(autouse=True)
def nothing_is_hidden(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Fake a machine: its driver, files in /dev and build of torch."""

    def make(driver: object, nodes: tuple[str, ...] = (), cuda: str = "'13.0'", hip: str = "None") -> None:
        def load(name: str) -> object:
            assert name == "libcuda.so.1"
            if driver is None:
                raise OSError("cannot open shared object file")
            return driver

        monkeypatch.setattr(module.ctypes, "CDLL", load)
        monkeypatch.setattr(module.sys, "platform", "linux")
        monkeypatch.setattr(module, "DEV", tmp_path / "dev")
        for name in ("null", *nodes):
            (tmp_path / "dev").mkdir(exist_ok=True)
            (tmp_path / "dev" / name).touch()
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch/__init__.py").write_text("raise RuntimeError('imported')")
        (tmp_path / "torch/version.py").write_text(BUILT.format(cuda=cuda, hip=hip))
        monkeypatch.delitem(sys.modules, "torch", raising=False)
        monkeypatch.syspath_prepend(tmp_path)

    return make


class Driver:
    """The part of CUDA's driver that is called."""

    def __init__(self, state: int, number: int = 0) -> None:
        self.state, self.number = state, number

    def cuInit(self, _: int) -> int:  # noqa: N802
        return self.state

    def cuDeviceGetCount(self, number) -> int:  # noqa: N802
        number._obj.value = self.number
        return 0


class HalfADriver:
    def cuInit(self, _: int) -> int:  # noqa: N802
        return 0


@pytest.mark.parametrize(
    ("driver", "nodes", "found"),
    [
        (None, (), 0),
        (None, ("nvidia0", "nvidiactl"), None),  # a container may lack the library, or keep it elsewhere
        (None, ("dxg",), None),
        (None, ("nvhost-ctrl",), None),
        (Driver(0, 2), ("nvidia0",), 2),
        (Driver(0, 0), (), 0),
        (Driver(100), ("nvidia0",), 0),  # no device, as with CUDA_VISIBLE_DEVICES=-1
        (Driver(999), ("nvidia0",), None),
        (Driver(804), (), None),
        (HalfADriver(), (), None),
    ],
)
def test_devices_are_counted_where_their_number_is_certain(machine, driver, nodes, found):
    machine(driver, nodes)
    assert devices() == found


def test_on_another_system_nothing_is_certain(machine, monkeypatch):
    machine(None)
    monkeypatch.setattr(module.sys, "platform", "win32")
    assert devices() is None


@pytest.mark.parametrize(
    ("device", "driver", "more", "reason"),
    [
        ("cuda", None, {}, "'cuda' is not here (allowed: cpu)"),
        ("cuda:2", Driver(0, 2), {}, "'cuda:2' is not here (allowed: cpu, cuda:0, cuda:1)"),
        ("cuda", Driver(0, 1), {"cuda": "None"}, "'cuda' is not here: torch 9.9 is built without CUDA (allowed: cpu)"),
    ],
)
def test_a_device_that_is_certainly_absent_is_refused(machine, device, driver, more, reason):
    machine(driver, **more)
    with pytest.raises(ValueError) as caught:
        require_not_absent(device)
    assert str(caught.value) == f"params.yaml: runtime.device = {reason}"


def test_devices_that_a_variable_hides_are_told_as_such(machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine(Driver(100), ("nvidia0",))
    with pytest.raises(ValueError, match=r"'cuda' is not here: CUDA_VISIBLE_DEVICES = '' \(allowed: cpu\)$"):
        require_not_absent("cuda")


@pytest.mark.parametrize(
    ("device", "driver", "more"),
    [
        ("cpu", None, {"cuda": "None"}),
        ("cuda", Driver(0, 1), {}),
        ("cuda:1", Driver(0, 2), {}),
        ("cuda:5", HalfADriver(), {}),
        ("cuda", None, {"cuda": "None", "hip": "'6.4'"}),  # AMD's
        ("cuda", None, {"nodes": ("nvidiactl",)}),
    ],
)
def test_a_device_that_is_here_or_may_be_here_passes(machine, device, driver, more):
    machine(driver, **more)
    require_not_absent(device)


def test_the_number_of_a_device_counts_from_0():
    require_device("cpu", 0)
    require_device("cuda", 1)
    with pytest.raises(ValueError, match="'cuda:1' is not here"):
        require_device("cuda:1", 1)


def test_the_check_looks_for_the_device_where_the_work_is_done(tiny, monkeypatch):
    monkeypatch.chdir(tiny)
    use(tiny, FAR)
    with pytest.raises(ValueError, match=r"^params\.yaml: runtime\.device = 'cuda:99' is not here \(allowed: cpu"):
        checked(Path("params.yaml"))
    checked(Path("params.yaml"), here=False)


def use(folder: Path, device: str) -> None:
    write_params(folder, PARAMS | {"runtime": PARAMS["runtime"] | {"device": device}})


ELSEWHERE = """
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False)


class Executor(RemoteExecutor):
    def run_job(self, job):
        raise ValueError("started a job elsewhere")

    async def check_active_jobs(self, active_jobs):
        return
        yield

    def cancel_jobs(self, active_jobs):
        pass
"""


def test_both_engines_refuse_it_before_any_work_but_where_jobs_run_elsewhere(tiny):
    use(tiny, FAR)
    (tiny / "snakemake_executor_plugin_elsewhere").mkdir()
    (tiny / "snakemake_executor_plugin_elsewhere/__init__.py").write_text(ELSEWHERE)
    snakemake = ("snakemake", "--cores", "1", "artifacts/features/shapes/tail/tiny/seed0", "--forcerun", "features")
    line = "params.yaml: runtime.device = 'cuda:99' is not here (allowed: cpu"
    for command in (snakemake, ("ulfine", "preflight"), ("python", "-m", "stages.resolve")):
        done = run(tiny, *command)
        assert done.returncode != 0 and line in done.stderr and "Traceback" not in done.stderr
        assert "rule features:" not in done.stderr
    succeeded(run(tiny, *snakemake, "--dry-run"))
    done = run(tiny, "env", f"PYTHONPATH={tiny}", *snakemake, "--executor", "elsewhere", "--jobs", "1")
    assert line not in done.stderr and "started a job elsewhere" in done.stderr


def test_downloads_need_no_device_as_the_machine_with_a_network_may_have_none(tiny):
    use(tiny, FAR)
    succeeded(run(tiny, "snakemake", "--cores", "1", "downloads"))
    made = {path.relative_to(tiny).as_posix() for path in (tiny / "artifacts").glob("*/*") if path.is_dir()}
    assert {"artifacts/data/shapes", "artifacts/backbones/tiny"} <= made
    use(tiny, "cpu")
    assert "Nothing to be done" in succeeded(run(tiny, "snakemake", "--cores", "1", "downloads")).stderr
