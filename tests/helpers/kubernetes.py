"""What kubectl needs of a Kubernetes API, with one node that runs jobs as processes of this machine.

Manifests are checked against the schema that Kubernetes publishes. There is no scheduler, no image and no container.
"""

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import kubernetes_validate

from tests.helpers import project

JOBS = "/apis/batch/v1/namespaces/default/jobs"
VERSION = {"groupVersion": "batch/v1", "version": "v1"}
JOB = {"name": "jobs", "singularName": "job", "namespaced": True, "kind": "Job", "verbs": ["create", "delete", "get"]}
# So that kubectl leaves the check of a manifest to the server, as it does with a real one.
CHECKS = {
    "parameters": [{"name": "fieldValidation", "in": "query"}],
    "x-kubernetes-group-version-kind": {"group": "batch", "version": "v1", "kind": "Job"},
}
DISCOVERY = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [{"name": "batch", "versions": [VERSION], "preferredVersion": VERSION}],
    },
    "/apis/batch/v1": {"kind": "APIResourceList", "groupVersion": "batch/v1", "resources": [JOB]},
    "/openapi/v3": {"paths": {"apis/batch/v1": {"serverRelativeURL": "/openapi/v3/apis/batch/v1"}}},
    "/openapi/v3/apis/batch/v1": {"openapi": "3.0.0", "paths": {f"{JOBS}/{{name}}": {"patch": CHECKS}}},
}
CONDITIONS = {True: ("SuccessCriteriaMet", "Complete"), False: ("FailureTarget", "Failed")}


def missing() -> str | None:
    """Why there can be none here; None when there can."""
    return None if shutil.which("kubectl") else "needs kubectl"


def require_valid(manifest: dict) -> None:
    """Check a manifest, unknown fields among it.

    Raises:
        kubernetes_validate.ValidationError: it is not what the API takes.
    """
    kubernetes_validate.validate(manifest, "1.32", strict=True)


class Cluster(ThreadingHTTPServer):
    """Jobs run in `folder`, which stands for the volume that they share."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Api)
        self.folder = folder
        self.manifests: dict[str, dict] = {}
        self.processes: dict[str, subprocess.Popen] = {}
        config = folder.parent / "kubeconfig"
        server = {"cluster": {"server": f"http://127.0.0.1:{self.server_port}"}, "name": "test"}
        context = {"context": {"cluster": "test", "user": "test"}, "name": "test"}
        config.write_text(json.dumps({"clusters": [server], "contexts": [context], "current-context": "test"}))
        self.environment = {
            "KUBECONFIG": str(config),
            "KUBECACHEDIR": str(folder.parent / "kubecache"),
            "NO_PROXY": "127.0.0.1",
        }

    def create(self, manifest: dict) -> dict:
        require_valid(manifest)
        name = f"{manifest['metadata']['generateName']}{len(self.manifests):05}"
        manifest["metadata"] |= {"name": name, "namespace": "default"}
        container = manifest["spec"]["template"]["spec"]["containers"][0]
        given = {each["name"]: each["value"] for each in container["env"]}
        with (self.folder.parent / f"{name}.log").open("w") as log:
            self.processes[name] = subprocess.Popen(
                container["command"],
                cwd=self.folder,
                env=project.environment() | given,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.manifests[name] = manifest
        return manifest

    def found(self, name: str) -> dict | None:
        if name not in self.processes:
            return None
        code = self.processes[name].poll()
        conditions = [] if code is None else [{"type": each, "status": "True"} for each in CONDITIONS[code == 0]]
        return self.manifests[name] | {"status": {"conditions": conditions}}

    def delete(self, name: str) -> dict | None:
        if name not in self.processes:
            return None
        self.evict(name)
        del self.processes[name]
        return self.manifests[name]

    def evict(self, name: str) -> None:
        """Take the node away from a job."""
        with suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def running(self, *rules: str) -> list[str]:
        """The names of the jobs of these rules that run."""
        starts = tuple(f"ulfine-{rule}-" for rule in rules)
        return [name for name, process in self.processes.items() if name.startswith(starts) and process.poll() is None]


class Api(BaseHTTPRequestHandler):
    server: Cluster

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.answer(DISCOVERY[path] if path in DISCOVERY else self.server.found(path.removeprefix(f"{JOBS}/")))

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        try:
            self.answer(self.server.create(json.loads(content)))
        except kubernetes_validate.ValidationError as error:
            self.answer(None, 422, error.message)

    def do_DELETE(self) -> None:
        self.answer(self.server.delete(self.path.partition("?")[0].removeprefix(f"{JOBS}/")))

    def answer(self, found: dict | None, code: int = 404, message: str = "not found") -> None:
        failure = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
        failure["reason"] = {404: "NotFound", 422: "Invalid"}[code]
        content = json.dumps(failure if found is None else {"apiVersion": "v1"} | found).encode()
        self.send_response(code if found is None else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Stay silent."""
