"""A real Slurm of one node: the profile runs the default grid to the bytes of a local run, whatever happens."""

import re
import shutil
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.helpers import project, slurm
from tests.helpers.processes import begun, finished, wait
from tests.helpers.project import ROOT, run, succeeded
from tests.helpers.reruns import outputs

pytestmark = pytest.mark.slow

PROFILE = ("snakemake", "--workflow-profile", "workflow/profiles/slurm")
# Quicker than the profile, as its jobs take seconds; and what jobs said is kept, to be counted.
QUICK = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5", "--slurm-keep-successful-logs")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    why = slurm.missing()
    if why:
        pytest.skip(why)
    found = slurm.Slurm(tmp_path_factory.mktemp("slurm"))
    found.start()
    yield found
    found.stop()


def start(folder: Path, cluster: slurm.Slurm, *more: str) -> subprocess.Popen:
    path = f"{cluster.folder / 'bin'}:{project.environment()['PATH']}"
    return begun(folder, [*PROFILE, *QUICK, *more], {"PATH": path})


def times_done(folder: Path) -> Counter:
    """How often each stage of each cell ran to its end, by what jobs printed."""
    said = (path.read_text() for path in (folder / ".snakemake/slurm_logs").rglob("*.log"))
    return Counter(line for text in said for line in re.findall(r"^(\w+ .*): done in", text, re.MULTILINE))


def test_the_default_grid_gives_the_bytes_of_a_local_run_and_is_shared(cluster, tmp_path):
    local, remote = (default_project(tmp_path / name) for name in ("local", "remote"))
    succeeded(run(local, "snakemake", "--cores", "2"))
    finished(start(remote, cluster), remote, 1500)
    assert outputs(remote) == outputs(local)
    assert set(times_done(remote).values()) == {1}
    succeeded(run(remote, "dvc", "remote", "add", "--default", "share", str(tmp_path / "share")))
    succeeded(run(remote, "ulfine", "commit"))
    assert "up to date" in succeeded(run(remote, "dvc", "status")).stdout
    succeeded(run(remote, "dvc", "push"))
    assert "in sync" in succeeded(run(remote, "dvc", "status", "--cloud")).stdout


def default_project(folder: Path) -> Path:
    """The grid of params.yaml with trainings of a few steps."""
    project.make_project(folder)
    shutil.rmtree(folder / "assets")
    shutil.copytree(ROOT / "assets", folder / "assets")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["train"] |= {"steps": 4, "log_every": 2, "validate_every": 0}
    project.write_params(folder, params)
    return folder


def test_a_job_cancelled_a_node_drained_a_controller_restarted_and_an_engine_killed(cluster, by_snakemake, tmp_path):
    folder = project.make_project(tmp_path / "project")
    on_gpus = ("--set-resources", "train:gpu=1", "baseline:gpu=1", "--default-resources", "slurm_partition=main")
    engine = start(folder, cluster, *on_gpus)
    wait(lambda: running(cluster, "features"))
    cluster("scancel", *running(cluster, "features"))  # and is submitted again
    wait(lambda: running(cluster, "train", "baseline"))
    assert "gpu:1" in cluster("scontrol", "show", "job")
    host = socket.gethostname()
    cluster("scontrol", "update", f"nodename={host}", "state=drain", "reason=test")
    cluster.restart_controller()
    cluster("scontrol", "update", f"nodename={host}", "state=resume")
    engine.kill()  # and its jobs go on
    engine.wait()
    finished(start(folder, cluster, *on_gpus), folder, 1500)
    assert outputs(folder) == outputs(by_snakemake)
    assert set(times_done(folder).values()) == {1}


def running(cluster: slurm.Slurm, *rules: str) -> list[str]:
    """The numbers of the jobs of these rules that run."""
    found = [(number, rule) for number, state, rule in cluster.jobs() if state == "RUNNING"]
    return [number for number, rule in found if any(f"_{name}" in rule for name in rules)]
