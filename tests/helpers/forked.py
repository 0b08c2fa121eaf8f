"""Run stages in forks of one process that has imported the libraries, so that a start takes a tenth of a second.

As a server, `python -m tests.helpers.forked` reads a JSON list [folder, environment, outputs, arguments] a line, where
the first argument is the module, and answers with the exit code of each.
"""

from ulfine.threads import THREADS

import atexit
import json
import os
import runpy
import subprocess
import sys
import traceback
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile

from tests.helpers.project import ROOT, configure, environment, options

LIBRARIES = ("ulfine.models.lean", "matplotlib.figure", "pandas", "PIL.Image", "safetensors.torch", "scipy.stats")
PROJECT = ("ulfine", "stages")  # whose modules each fork imports anew, from its folder


def stage(folder: Path, name: str, **names: str | int) -> subprocess.CompletedProcess[str]:
    """Run one stage script on a configuration that is as params.yaml has it now, as `project.stage` does."""
    configure(folder, name, names)
    server = _server()
    given = [f"stages.{name}", *options(names)]
    with NamedTemporaryFile("r") as stdout, NamedTemporaryFile("r") as stderr:
        asked = [str(folder), environment(), [stdout.name, stderr.name], given]
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(given, code, stdout.read(), stderr.read())


@cache
def _server() -> subprocess.Popen[str]:
    """The server of this process."""
    command = (sys.executable, "-m", __name__)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen(command, cwd=ROOT, env=environment() | dict.fromkeys(THREADS, "1"), text=True, **pipes)
    atexit.register(server.stdin.close)  # which ends it
    return server


def serve() -> None:
    for library in LIBRARIES:
        __import__(library)
    for name in [name for name in sys.modules if name.partition(".")[0] in PROJECT]:
        del sys.modules[name]
    for line in sys.stdin:
        folder, environment, outputs, arguments = json.loads(line)
        pid = os.fork()
        if not pid:
            _as_script(folder, environment, outputs, arguments)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _as_script(folder: str, environment: dict[str, str], outputs: list[str], arguments: list[str]) -> None:
    """Become a process that runs one script; never return."""
    for number, path in enumerate(outputs, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_TRUNC), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv, sys.path[0], code = arguments, folder, 1
    try:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
