from pathlib import Path

import pytest
from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.repo import Repo

from ulfine.runner.dvc_lock import ASIDE, entries, mend

ENTRY = """  {}:
    cmd: python -m stages.{}
    deps:
    - path: artifacts/config/data/shapes.json
      hash: md5
      md5: d36f8f9425c4a8000ad9c4a97185aca5
      size: 3
    params:
      params.yaml:
        train:
          weight_decay: 1e-05
    outs:
    - path: artifacts/{}
      hash: md5
      md5: 0cc175b9c0f1b6a831c399e269772661.dir
      size: 10
      nfiles: 2
"""
LOCK = "schema: '2.0'\nstages:\n" + "".join(ENTRY.format(name, name, name) for name in ("data", "split"))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_what_dvc_recorded_is_read():
    Path("dvc.lock").write_text(LOCK)
    assert entries()["split"]["outs"][0]["path"] == "artifacts/split"
    assert entries()["split"]["params"]["params.yaml"] == {
        "train": {"weight_decay": 1e-5}
    }  # some readers have a string
    assert mend() is None and not ASIDE.exists()


def test_a_lock_that_was_cut_off_anywhere_is_mended_when_dvc_would_refuse_it():
    """DVC's own reader decides what is refused."""
    Path("dvc.lock").write_text(LOCK)
    whole, refused = entries(), 0
    with Repo.init(".", no_scm=True) as repo:
        for cut in range(0, len(LOCK), 7):
            path = Path("dvc.lock")
            path.write_text(LOCK[:cut])
            try:
                Lockfile(repo, str(path.resolve())).load()
            except DvcException:
                refused += 1
                with pytest.raises(ValueError, match=r"dvc\.lock: damaged.*ulfine preflight"):
                    entries()
                saved = 1 if cut > LOCK.index("  split:") else 0  # the others come before the cut
                assert f"was damaged; {saved} stages could be saved" in mend()
                assert ASIDE.read_text() == LOCK[:cut]
                stages = Lockfile(repo, str(path.resolve())).load()["stages"]
                assert stages == entries() == {name: whole[name] for name in ["data"][:saved]}
            else:
                assert mend() is None, LOCK[:cut]
    assert refused > 20
