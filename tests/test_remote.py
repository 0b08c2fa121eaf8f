"""Results that are shared: by a DVC remote, a folder or S3, by one cache, and with the repositories of others."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from tests.helpers import project
from tests.helpers.pictures import md5
from tests.helpers.processes import free_port, wait
from tests.helpers.project import run, succeeded
from tests.helpers.reruns import commit, content, copied, outputs, rerun

Remote = tuple[AbstractFileSystem, str, str, dict[str, str]]


@pytest.fixture(params=["folder", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("s3", "ssh"))])
def remote(request, tmp_path, monkeypatch) -> Iterator[Remote]:
    """Where results are shared: its files, their place, its address for DVC, and what DVC has to be told about it."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    kinds = {"folder": in_a_folder, "s3": on_s3, "ssh": by_ssh}
    yield from kinds[request.param](tmp_path, monkeypatch)


def in_a_folder(tmp_path: Path, _: pytest.MonkeyPatch) -> Iterator[Remote]:
    yield LocalFileSystem(), str(tmp_path / "share"), str(tmp_path / "share"), {}


def on_s3(_: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    from moto.server import ThreadedMotoServer  # both take a second or more, which the fast tests have no use for
    from s3fs import S3FileSystem

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "anything")
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    files = S3FileSystem(endpoint_url=url, use_listings_cache=False, skip_instance_cache=True)
    files.mkdir("results")
    yield files, "s3://results/ulfine", "s3://results/ulfine", {"endpointurl": url}
    server.stop()


def by_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    pytest.importorskip("dvc_ssh")
    sshd = shutil.which("sshd")
    if os.getuid() or not sshd:
        pytest.skip("needs root, and sshd (apt-get install openssh-server)")
    port, keys = free_port(), tmp_path / "home/.ssh"
    keys.mkdir(parents=True)
    for name in ("host", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{port} {(keys / 'host.pub').read_text()}")
    monkeypatch.setenv("HOME", str(keys.parent))
    options = {"Port": port, "HostKey": keys / "host", "AuthorizedKeysFile": keys / "mine.pub", "StrictModes": "no"}
    options |= {"ListenAddress": "127.0.0.1", "PidFile": "none", "UsePAM": "no", "Subsystem": "sftp internal-sftp"}
    (tmp_path / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    Path("/run/sshd").mkdir(exist_ok=True)
    daemon = subprocess.Popen([sshd, "-D", "-f", str(tmp_path / "sshd_config")])
    try:
        wait(lambda: answers(port))
        share = str(tmp_path / "share")
        yield (
            LocalFileSystem(),
            share,
            f"ssh://127.0.0.1:{port}{share}",
            {"user": "root", "keyfile": str(keys / "mine")},
        )
    finally:
        daemon.terminate()
        daemon.wait()


def answers(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def shared(by_dvc: Path, tmp_path: Path, url: str, options: dict[str, str]) -> tuple[Path, Path]:
    """A project whose results are pushed, and a clone of it that has not pulled them."""
    mine, theirs = copied(by_dvc, tmp_path / "mine"), tmp_path / "theirs"
    succeeded(run(mine, "dvc", "remote", "add", "--default", "share", url))
    for name, value in options.items():
        succeeded(run(mine, "dvc", "remote", "modify", "share", name, value))
    commit(mine)
    succeeded(run(mine, "dvc", "push"))
    succeeded(run(tmp_path, "git", "clone", "--quiet", str(mine), str(theirs)))
    return mine, theirs


def damage(files: AbstractFileSystem, place: str, path: Path) -> tuple[str, bytes]:
    """Flip one bit of what a remote keeps of a file; returns where it lies there, and what is right."""
    right, digest = path.read_bytes(), md5(path)
    stored = f"{place}/files/md5/{digest[:2]}/{digest[2:]}"
    replace(files, stored, bytes([right[0] ^ 1]) + right[1:])
    return stored, right


def replace(files: AbstractFileSystem, path: str, content: bytes) -> None:
    files.rm_file(path)  # DVC leaves it read-only in a folder
    files.pipe_file(path, content)


WEIGHTS = "artifacts/backbones/tiny/open_clip_model.safetensors"


def test_a_colleague_pulls_what_was_pushed_and_runs_nothing(by_dvc, remote, tmp_path):
    files, place, url, options = remote
    mine, theirs = shared(by_dvc, tmp_path, url, options | {"verify": "true"})
    stored, right = damage(files, place, mine / WEIGHTS)
    done = run(theirs, "dvc", "pull", "backbone@tiny")
    assert done.returncode == 1 and "Checkout failed for following targets:\nartifacts/backbones/tiny" in done.stderr
    assert not (theirs / WEIGHTS).exists()

    replace(files, stored, right)
    succeeded(run(theirs, "dvc", "pull"))
    done = succeeded(run(theirs, "dvc", "repro"))
    assert "Running stage" not in done.stdout and "Data and pipelines are up to date." in done.stdout
    assert outputs(theirs) == outputs(mine)


@pytest.mark.slow
def test_without_verify_dvc_takes_what_is_damaged(by_dvc, tmp_path):
    """Why docs/engines.md asks for `verify`: when this fails, it need not any more."""
    url = str(tmp_path / "share")
    mine, theirs = shared(by_dvc, tmp_path, url, {})
    damage(LocalFileSystem(), url, mine / WEIGHTS)
    succeeded(run(theirs, "dvc", "pull"))
    assert rerun(theirs, "dvc") == set()
    assert (theirs / WEIGHTS).read_bytes() != (mine / WEIGHTS).read_bytes()


LP = "artifacts/runs/shapes/tail/tiny/lp/seed0"
FROZEN = "artifacts/runs/shapes/tail/tiny/zero_shot/seed0"


def test_a_pull_brings_what_one_grid_needs_and_nothing_else(by_dvc, tmp_path):
    mine, theirs = shared(by_dvc, tmp_path, str(tmp_path / "share"), {})
    grid = project.PARAMS["grid"] | {"method": ["lp"], "baseline": [], "sweep": []}
    project.write_params(theirs, project.PARAMS | {"grid": grid, "study": "mine"})
    succeeded(run(theirs, "dvc", "pull"))
    assert content(theirs / LP) == content(mine / LP)
    assert not (theirs / FROZEN).exists()
    assert rerun(theirs, "dvc") == {"resolve", "aggregate", "report"}


def test_clones_that_share_a_cache_have_the_artifacts_at_once(by_dvc, tmp_path):
    mine, theirs = shared(by_dvc, tmp_path, str(tmp_path / "share"), {})
    succeeded(run(theirs, "dvc", "config", "--local", "cache.dir", str(mine / ".dvc/cache")))
    succeeded(run(theirs, "dvc", "config", "--local", "cache.shared", "group"))
    succeeded(run(theirs, "dvc", "config", "--local", "cache.type", "symlink"))
    succeeded(run(theirs, "dvc", "checkout"))
    assert rerun(theirs, "dvc") == set()
    assert outputs(theirs) == outputs(mine)


def test_another_repository_gets_a_run_and_its_table_or_imports_and_follows_it(by_dvc, tmp_path):
    mine, theirs = shared(by_dvc, tmp_path, str(tmp_path / "share"), {})
    other = tmp_path / "other"
    other.mkdir()
    for command in (("git", "init", "--quiet"), ("dvc", "init", "--quiet")):
        succeeded(run(other, *command))
    succeeded(run(other, "dvc", "get", str(theirs), LP, "--out", "lp"))
    assert content(other / "lp") == content(mine / LP)
    succeeded(run(other, "dvc", "get", str(theirs), "results/tiny/runs.csv"))
    assert (other / "runs.csv").read_bytes() == (mine / "results/tiny/runs.csv").read_bytes()

    succeeded(run(other, "dvc", "import", str(mine), LP, "--out", "theirs"))
    params = project.PARAMS | {"train": project.PARAMS["train"] | {"lr": 0.01}}
    project.write_params(mine, params)
    succeeded(run(mine, "dvc", "repro"))
    commit(mine)
    succeeded(run(mine, "dvc", "push"))
    assert content(other / "theirs") == content(other / "lp") != content(mine / LP)
    succeeded(run(other, "dvc", "update", "theirs.dvc"))
    assert content(other / "theirs") == content(mine / LP)
