"""Run `python -m stages.NAME …`, and write down what of the package it imported and which parameters it read.

Connections that it tries are added to connections.txt beside TRACE.

python tests/helpers/traced.py TRACE stages.NAME --key value …
"""

import json
import os
import runpy
import socket
import sys
from pathlib import Path


class Watch:
    """Notes the number of threads that is set when numpy is first looked for."""

    threads = "numpy was never imported"

    def find_spec(self, name, *_):
        if name == "numpy" and self.threads.startswith("numpy"):
            self.threads = os.environ.get("OMP_NUM_THREADS", "unset")


def note_parameters(asked: set[str]) -> None:
    """Note which files of parameters are opened."""

    def note(event, arguments):
        if event == "open" and isinstance(arguments[0], str) and arguments[1] in ("r", "rb", None):
            name = arguments[0].removeprefix(f"{Path.cwd()}/")
            if name.startswith(("artifacts/config/", "params.yaml")):
                asked.add(name)

    sys.addaudithook(note)


def note_connections(file: Path, stage: str) -> None:
    """Add a line to `file` for each name that is looked up and each address that is spoken to, on the network."""
    asks = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
    speaks = {"socket.connect", "socket.sendto", "socket.sendmsg"}

    def note(event, arguments):
        if event in asks or (event in speaks and arguments[0].family != socket.AF_UNIX):
            with file.open("a") as lines:
                print(stage, event, *map(str, arguments[event in speaks :]), file=lines)

    sys.addaudithook(note)


def main() -> None:
    trace, module = Path(sys.argv[1]), sys.argv[2]
    watch, asked = Watch(), set()
    sys.meta_path.insert(0, watch)
    note_connections(trace.with_name("connections.txt"), module)
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path.cwd())
    note_parameters(asked)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        package = Path.cwd() / "ulfine"
        files = {Path(found) for module in list(sys.modules.values()) if (found := getattr(module, "__file__", None))}
        used = sorted(str(path.relative_to(Path.cwd())) for path in files if path.is_relative_to(package))
        trace.write_text(json.dumps({"threads": watch.threads, "files": used, "parameters": sorted(asked)}))


main()
