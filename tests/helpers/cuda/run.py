"""Run stages in this process, on the pretended device: python -m tests.helpers.cuda.run FILE COMMAND…

Each command is a stage with its arguments. One that begins with `killed` is stopped after its first checkpoint and run
again. What the device minded goes to FILE. The folder's own package is imported, as a stage's command does.
"""

import contextlib
import json
import sys
from importlib import import_module
from pathlib import Path

from tests.helpers.cuda.pretended import PretendedCuda


class KilledError(BaseException):
    pass


@contextlib.contextmanager
def killed_after_a_checkpoint():
    checkpoint = import_module("ulfine.training.checkpoint")
    kept = checkpoint.Checkpoint.save, checkpoint.SECONDS

    def save(self, state):
        kept[0](self, state)
        raise KilledError

    checkpoint.Checkpoint.save, checkpoint.SECONDS = save, 0
    try:
        with contextlib.suppress(KilledError):
            yield
    finally:
        checkpoint.Checkpoint.save, checkpoint.SECONDS = kept


def main():
    sys.path.insert(0, ".")
    target, *commands = sys.argv[1:]
    noted = {}
    for command in commands:
        killed, words = command.startswith("killed "), command.removeprefix("killed ").split()
        sys.argv = words
        stage = import_module(f"stages.{words[0]}").main
        with PretendedCuda() as mode:
            if killed:
                with killed_after_a_checkpoint():
                    stage()
                    raise AssertionError(f"{command}: ran to its end")
            stage()
        noted[command] = [[*what, count] for what, count in sorted(mode.noted.items())]
    Path(target).write_text(json.dumps(noted))


if __name__ == "__main__":
    main()
