"""Results that are shared by a DVC remote, a folder or S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from tests.helpers.pictures import md5
from tests.helpers.project import run, succeeded
from tests.helpers.reruns import copied, outputs, rerun


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def remote(request, tmp_path, monkeypatch) -> Iterator[tuple[AbstractFileSystem, str, dict[str, str]]]:
    """Where results are shared: its files, its address, and what DVC has to be told about it."""
    if request.param == "folder":
        yield LocalFileSystem(), str(tmp_path / "share"), {}
        return
    from moto.server import ThreadedMotoServer  # both take a second or more, which the fast tests have no use for
    from s3fs import S3FileSystem

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "anything")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    files = S3FileSystem(endpoint_url=url, use_listings_cache=False, skip_instance_cache=True)
    files.mkdir("results")
    yield files, "s3://results/ulfine", {"endpointurl": url}
    server.stop()


def shared(by_dvc: Path, tmp_path: Path, url: str, options: dict[str, str]) -> tuple[Path, Path]:
    """A project whose results are pushed, and a clone of it that has not pulled them."""
    mine, theirs = copied(by_dvc, tmp_path / "mine"), tmp_path / "theirs"
    succeeded(run(mine, "dvc", "remote", "add", "--default", "share", url))
    for name, value in options.items():
        succeeded(run(mine, "dvc", "remote", "modify", "share", name, value))
    succeeded(run(mine, "git", "add", "--all"))
    me = ("-c", "user.name=me", "-c", "user.email=me@localhost")
    succeeded(run(mine, "git", *me, "commit", "--quiet", "--message", "Results"))
    succeeded(run(mine, "dvc", "push"))
    succeeded(run(tmp_path, "git", "clone", "--quiet", str(mine), str(theirs)))
    return mine, theirs


def damage(files: AbstractFileSystem, url: str, path: Path) -> tuple[str, bytes]:
    """Flip one bit of what a remote keeps of a file; returns where it lies there, and what is right."""
    right, digest = path.read_bytes(), md5(path)
    stored = f"{url}/files/md5/{digest[:2]}/{digest[2:]}"
    replace(files, stored, bytes([right[0] ^ 1]) + right[1:])
    return stored, right


def replace(files: AbstractFileSystem, path: str, content: bytes) -> None:
    files.rm_file(path)  # DVC leaves it read-only in a folder
    files.pipe_file(path, content)


WEIGHTS = "artifacts/backbones/tiny/open_clip_model.safetensors"


def test_a_colleague_pulls_what_was_pushed_and_runs_nothing(by_dvc, remote, tmp_path):
    files, url, options = remote
    mine, theirs = shared(by_dvc, tmp_path, url, options | {"verify": "true"})
    stored, right = damage(files, url, mine / WEIGHTS)
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
