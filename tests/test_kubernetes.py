"""Jobs of Kubernetes: their manifests meet its schema, and the profile runs a grid to the bytes of a local run."""

import importlib.util
import signal
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.helpers import kubernetes, project
from tests.helpers.processes import begun, finished, said, wait
from tests.helpers.project import ROOT
from tests.helpers.reruns import outputs
from tests.helpers.serving import serving

FOLDER = ROOT / "workflow/profiles/kubernetes"
PROFILE = ("snakemake", "--workflow-profile", "workflow/profiles/kubernetes")
QUICK = ("--seconds-between-status-checks", "1", "--latency-wait", "5")
ON_GPUS = ("--set-resources", "train:gpu=1", "baseline:gpu=1")
needs_kubectl = pytest.mark.skipif(kubernetes.missing() is not None, reason=str(kubernetes.missing()))
ASKED = {"threads": 2, "resources": {"mem_mb": 900, "runtime": 11, "gpu": 0}}


def manifest(**asked: object) -> dict:
    spec = importlib.util.spec_from_file_location("submit", FOLDER / "submit.py")
    submit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(submit)
    return submit.manifest(yaml.safe_load(submit.FORM.read_text()), "/ulfine/job.sh", ASKED | asked)


def test_what_the_login_pod_needs_meets_the_schema():
    documents = list(yaml.safe_load_all((FOLDER / "login.yaml").read_text()))
    assert [each["kind"] for each in documents] == [
        *("PersistentVolumeClaim", "ServiceAccount", "Role", "RoleBinding", "Pod")
    ]
    for document in documents:
        kubernetes.require_valid(document)


def test_a_job_asks_for_what_its_rule_does(monkeypatch):
    monkeypatch.setenv("ULFINE_RUN", "a run")
    found = manifest(rule="evaluate_baseline")
    kubernetes.require_valid(found)
    assert found["metadata"]["generateName"] == "ulfine-evaluate-baseline-"
    pod = found["spec"]["template"]["spec"]
    assert pod["activeDeadlineSeconds"] == 660
    container = pod["containers"][0]
    assert container["command"] == ["/bin/sh", "/ulfine/job.sh"]
    assert {"name": "ULFINE_RUN", "value": "a run"} in container["env"]
    assert container["resources"] == {"requests": {"cpu": "2", "memory": "900M"}, "limits": {"memory": "900M"}}

    found = manifest(groupid="scores_0", resources=ASKED["resources"] | {"gpu": 1})
    kubernetes.require_valid(found)
    assert found["metadata"]["generateName"] == "ulfine-scores-"
    limits = found["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"memory": "900M", "nvidia.com/gpu": "1"}


def test_a_misspelt_field_is_not_valid():
    found = manifest(rule="train")
    found["spec"]["backofLimit"] = 0
    with pytest.raises(kubernetes_validate.ValidationError, match="backofLimit"):
        kubernetes.require_valid(found)


@needs_kubectl
@pytest.mark.slow
def test_a_grid_gives_the_bytes_of_a_local_run_though_jobs_are_lost_and_the_engine_is_killed(by_snakemake, tmp_path):
    folder = project.make_project(tmp_path / "project")
    with serving(kubernetes.Cluster(folder)) as cluster:
        engine = start(folder, cluster)
        wait(lambda: cluster.running("features"))
        cluster.evict(*cluster.running("features"))  # and is submitted again
        wait(lambda: cluster.running("baseline"))
        cluster.delete(*cluster.running("baseline"))  # by someone
        wait(lambda: cluster.running("train", "baseline"))
        engine.kill()  # and its jobs go on
        engine.wait()
        finished(start(folder, cluster), folder, 900)
        gpus = {name: limits(cluster, name).get("nvidia.com/gpu") for name in cluster.manifests}
    assert outputs(folder) == outputs(by_snakemake)
    assert {asked for name, asked in gpus.items() if name.startswith("ulfine-train-")} == {"1"}
    assert {asked for name, asked in gpus.items() if name.startswith("ulfine-data-")} == {None}


@needs_kubectl
@pytest.mark.slow
def test_jobs_that_the_cluster_refuses_are_told_and_ctrl_c_deletes_those_that_run(tmp_path):
    folder = project.make_project(tmp_path / "project")
    form = folder / "workflow/profiles/kubernetes/job.yaml"
    right = form.read_text()
    form.write_text(right.replace("backoffLimit", "backofLimit"))
    with serving(kubernetes.Cluster(folder)) as cluster:
        assert start(folder, cluster, "--retries", "0").wait(120) != 0
        assert "'backofLimit' was unexpected" in said(folder)
        form.write_text(right)
        engine = start(folder, cluster)
        wait(lambda: cluster.running("features"))
        running = cluster.running("features", "baseline")
        engine.send_signal(signal.SIGINT)
        engine.wait(60)
        wait(lambda: not cluster.running("features", "baseline"))
        assert set(running) - set(cluster.processes)  # deleted; one that had just ended may be there


def start(folder: Path, cluster: kubernetes.Cluster, *more: str) -> subprocess.Popen:
    return begun(folder, [*PROFILE, *QUICK, *ON_GPUS, *more], cluster.environment)


def limits(cluster: kubernetes.Cluster, name: str) -> dict[str, str]:
    return cluster.manifests[name]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
