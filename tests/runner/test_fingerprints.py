import json
import os
from pathlib import Path

import pytest
from dvc.repo import Repo

from ulfine.runner.fingerprints import MEMORY, fingerprint


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made/sub").mkdir(parents=True)
    (tmp_path / "one.txt").write_text("one")
    (tmp_path / "made/b.txt").write_text("b")
    (tmp_path / "made/sub/a.txt").write_text("a")
    (tmp_path / "made/sub.txt").write_text("after sub/ in one order, before it in another")
    (tmp_path / "made/.snakemake_timestamp").touch()
    return tmp_path


def test_it_is_the_hash_that_dvc_takes(here):
    (here / ".dvcignore").write_text(".snakemake_timestamp\n")
    with Repo.init(str(here), no_scm=True) as repo:
        repo.add(["made"])
        repo.add(["one.txt"])
    for name in ("made", "one.txt"):
        recorded = Path(f"{name}.dvc").read_text()
        assert f"md5: {fingerprint(name).md5}\n" in recorded
    assert set(fingerprint("made").files) == {"b.txt", "sub/a.txt", "sub.txt"}
    assert fingerprint("absent") is None


def test_files_are_read_again_when_their_size_or_time_changed_or_on_demand(here):
    path = here / "made/b.txt"
    first = fingerprint("made")
    assert json.loads((here / MEMORY / "made.json").read_text())["b.txt"][2] == first.files["b.txt"]
    times = path.stat()
    path.write_text("x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a failing disk would change it
    assert fingerprint("made") == first
    found = fingerprint("made", afresh=True)
    assert found.files["b.txt"] == "9dd4e461268c8034f5c8564e155c67a6" and found.md5 != first.md5
    path.write_text("b")
    os.utime(path, ns=(0, 0))
    assert fingerprint("made") == first
