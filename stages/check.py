"""Refuse wrong parameters before any work.

reads   params.yaml, and how many pictures its sources have
writes  artifacts/params.ok, always with the same content, so that right parameters rerun nothing
"""

from ulfine.stage import stage

from ulfine.check import checked, write_ok
from ulfine.pipeline import PARAMS


@stage
def main() -> None:
    checked(PARAMS)
    write_ok()


if __name__ == "__main__":
    main()
