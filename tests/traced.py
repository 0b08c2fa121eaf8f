"""Run `python -m stages.NAME …`, and write down what of the package it imported and which keys it read.

Connections that it tries are added to connections.txt beside TRACE.

python tests/traced.py TRACE stages.NAME --key value …
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


class Noted(dict):
    """Notes the keys that are asked for."""

    def __init__(self, values, asked):
        super().__init__(values)
        self.asked = asked

    def __getitem__(self, key):
        self.asked.add(key)
        return super().__getitem__(key)


def note_keys(asked: set[str]) -> None:
    """Of what a stage may read, note what it does read; whoever copies all of it has not read a key."""
    from ulfine import files, pipeline  # as late as a stage would, and before any module takes functions from there

    allowed = pipeline.parameters
    pipeline.parameters = lambda stage, cell: Noted(allowed(stage, cell), asked)
    read, watched = files.read_json, {"recipes", "settings"}
    files.read_json = lambda path: Noted(read(path), asked) if watched & {*path.parts} else read(path)


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
    note_keys(asked)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        package = Path.cwd() / "ulfine"
        files = {Path(found) for module in list(sys.modules.values()) if (found := getattr(module, "__file__", None))}
        used = sorted(str(path.relative_to(Path.cwd())) for path in files if path.is_relative_to(package))
        trace.write_text(json.dumps({"threads": watch.threads, "files": used, "keys": sorted(asked)}))


main()
