"""Refuse wrong parameters before any work.

reads   params.yaml, how many pictures its sources have, and whether the device is here
writes  artifacts/params.ok, always with the same content, so that right parameters rerun nothing
"""

from ulfine.stage import stage

import os

from ulfine.check import checked, write_ok
from ulfine.pipeline import PARAMS


@stage
def main() -> None:
    checked(PARAMS, here="ULFINE_ENGINE" not in os.environ)  # Snakemake looks itself, where it starts no job elsewhere
    write_ok()


if __name__ == "__main__":
    main()
