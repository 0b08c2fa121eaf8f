import json
import os

import pytest

from ulfine import threads


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Fake a machine of four processors on which so many processes run, this one among them."""

    def make(running: str) -> None:
        (tmp_path / "runtime.json").write_text(json.dumps({"num_threads": 2}))
        (tmp_path / "loadavg").write_text(running)
        monkeypatch.setattr(threads, "RUNTIME", tmp_path / "runtime.json")
        monkeypatch.setattr(threads, "RUNNING", tmp_path / "loadavg")
        monkeypatch.setattr(os, "cpu_count", lambda: 4)
        monkeypatch.setattr(os, "environ", {})

    return make


@pytest.mark.parametrize(("running", "spins"), [(1, None), (3, None), (4, "2000"), (9, "2000")])
def test_threads_sleep_soon_where_others_need_the_processors(machine, running, spins):
    machine(f"0.20 0.18 0.12 {running}/80 11206\n")
    threads._set_threads()
    assert os.environ.get("GOMP_SPINCOUNT") == spins
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_what_a_user_has_set_stays(machine):
    machine("0.20 0.18 0.12 9/80 11206\n")
    os.environ["GOMP_SPINCOUNT"] = "7"
    threads._set_threads()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


@pytest.mark.parametrize("content", ["", "nothing that is known"])
def test_a_system_that_does_not_tell_is_idle(machine, content):
    machine(content)
    threads._set_threads()
    assert "GOMP_SPINCOUNT" not in os.environ
