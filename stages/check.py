"""Refuse wrong parameters before any work.

reads   params.yaml, and how many pictures its sources have
writes  artifacts/params.ok, always with the same content, so that right parameters rerun nothing
"""

from ulfine.stage import stage

from pathlib import Path

from ulfine.check import checked
from ulfine.files import write_text
from ulfine.pipeline import PARAMS


@stage
def main() -> None:
    checked(PARAMS)
    write_text(Path("artifacts/params.ok"), "ok\n")


if __name__ == "__main__":
    main()
