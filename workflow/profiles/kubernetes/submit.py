#!/usr/bin/env python
"""Send a job of Snakemake to Kubernetes, in the form of job.yaml, and print its name.

usage: submit.py SCRIPT    the script, on the shared volume, holds what the rule asks for (Snakemake writes it there)
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import read_job_properties

FORM = Path(__file__).with_name("job.yaml")
OURS = "ULFINE_"  # variables that a job shares with its engine


def manifest(form: dict[str, Any], script: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The job that runs `script`.

    form: of all jobs. asked: what Snakemake says of this one: rule or group, threads, resources.
    """
    resources, pod = asked["resources"], form["spec"]["template"]["spec"]
    name = asked.get("rule") or asked["groupid"].split("_")[0]
    form["metadata"]["generateName"] = f"ulfine-{name.replace('_', '-')}-"
    pod["activeDeadlineSeconds"] = 60 * resources["runtime"]  # of the pod: the time it waits for a node does not count
    container = pod["containers"][0]
    container["command"] = ["/bin/sh", script]
    container["env"] = container.get("env", []) + [
        {"name": key, "value": value} for key, value in os.environ.items() if key.startswith(OURS)
    ]
    memory = {"memory": f"{resources['mem_mb']}M"}
    gpus = {"nvidia.com/gpu": str(resources["gpu"])} if resources.get("gpu") else {}
    container["resources"] = {"requests": {"cpu": str(asked["threads"])} | memory, "limits": memory | gpus}
    return form


def main() -> None:
    """Create it."""
    script = str(Path(sys.argv[1]).resolve())
    job = manifest(yaml.safe_load(FORM.read_text(encoding="utf-8")), script, read_job_properties(script))
    create = ["kubectl", "create", "--validate=strict", "--filename", "-", "--output", "jsonpath={.metadata.name}"]
    sys.exit(subprocess.run(create, input=json.dumps(job), text=True, check=False).returncode)  # noqa: S603


if __name__ == "__main__":
    main()
