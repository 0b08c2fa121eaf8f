"""Refuse wrong parameters before any work.

reads   params.yaml, how many pictures its sources have, and whether the device is here; prints what is allowed and may
        not be meant
writes  artifacts/params.ok, always with the same content, so that right parameters rerun nothing
"""

from ulfine.stage import stage

import os

from ulfine.check import checked, write_ok
from ulfine.pipeline import PARAMS


@stage
def main() -> None:
    _, notes = checked(PARAMS, here="ULFINE_ENGINE" not in os.environ)  # Snakemake looks where its jobs are to run
    write_ok()
    for note in notes:
        print(note)


if __name__ == "__main__":
    main()
