"""Refuse wrong parameters before any work, and write down what each job may read.

reads   params.yaml, stages/, ulfine/, how many pictures its sources have, and whether the device is here; prints what
        is allowed and may not be meant
writes  artifacts/config/{stage}/….json, the resolved configuration of each job, and artifacts/code/{stage}.json, the
        hashes of the code that it depends on; a file that is right is left as it is
"""

from ulfine.runner.stage import stage

import os

from ulfine.runner.jobs import PARAMS
from ulfine.runner.preflight import checked
from ulfine.runner.resolve import resolved, write


@stage
def main() -> None:
    params, notes = checked(PARAMS, here="ULFINE_ENGINE" not in os.environ)  # Snakemake looks where its jobs are to run
    write(resolved(params))
    for note in notes:
        print(note)


if __name__ == "__main__":
    main()
