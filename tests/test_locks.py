import subprocess
import sys
from pathlib import Path

from ulfine.locks import alone, any_of, holder

WAITING = """
from pathlib import Path
from ulfine.locks import alone
with alone(Path("a/b.log"), "second") as note:
    note("it has it")
"""


def test_a_second_process_waits_and_says_for_whom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("a/b.log")
    assert holder(path) is None
    with alone(path, "first") as note:
        assert holder(path) == "first"
        waiting = subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True)
        assert waiting.stdout.readline() == "waiting for first (a/b.log)\n"
        note("done")
        assert path.read_text() == "first\ndone\n"
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0 and path.read_text() == "second\nit has it\n"
    assert holder(path) is None


def test_the_lock_of_a_killed_process_is_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hanging = WAITING.replace('note("it has it")', 'print("has it", flush=True) or input()')
    killed = subprocess.Popen([sys.executable, "-c", hanging], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert killed.stdout.readline() == "has it\n"
    assert holder(Path("a/b.log")) == "second"
    killed.kill()
    killed.communicate()
    assert holder(Path("a/b.log")) is None
    with alone(Path("a/b.log"), "next"):
        pass


def test_one_of_several_locks_is_taken_and_no_other(tmp_path):
    paths = [tmp_path / "a/0", tmp_path / "a/1"]
    with any_of(paths, "first") as mine:
        assert mine == paths[0] and holder(paths[0]) == "first" and holder(paths[1]) is None
        with any_of(paths, "second") as other:
            assert other == paths[1]
    assert holder(paths[0]) is None
