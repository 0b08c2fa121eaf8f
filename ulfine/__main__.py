"""Small helpers beside the two engines: `python -m ulfine study NAME`, `… save`, `… table`, `… parameters`."""

import argparse
import sys
from pathlib import Path

from ulfine.errors import explained
from ulfine.files import write_text
from ulfine.params.base import parsed, read_yaml, validated
from ulfine.params.reference import reference
from ulfine.params.root import Params
from ulfine.pipeline import PARAMS
from ulfine.study import KEYS, choose, own_study, studies

STUDIES = Path("studies")
REFERENCE = Path("docs/parameters.md")


def main() -> None:
    """Parse the command line and run one helper."""
    parser = argparse.ArgumentParser(prog="python -m ulfine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    chosen = commands.add_parser("study", help="put the study and grid of studies/NAME.yaml into params.yaml")
    chosen.add_argument("name", metavar="NAME", choices=studies(STUDIES), help=f"one of: {', '.join(studies(STUDIES))}")
    commands.add_parser("save", help="write the study and grid of params.yaml to studies/, under their name")
    commands.add_parser("table", help="print the summary of the current study")
    commands.add_parser("parameters", help="write docs/parameters.md")
    arguments = parser.parse_args()
    try:
        match arguments.command:
            case "study":
                choose_study(arguments.name)
            case "save":
                save_study()
            case "table":
                print_table()
            case "parameters":
                write_text(REFERENCE, reference())
    except Exception as error:
        line = explained(error)
        if line is None:
            raise
        sys.exit(line)


def choose_study(name: str) -> None:
    """Rewrite params.yaml, unless the result would be refused, or an edit lost."""
    text = choose(STUDIES, PARAMS.read_text(encoding="utf-8"), name)
    where = f"{PARAMS} with {STUDIES / name}.yaml"
    validated(Params, parsed(text, where), f"{where}: ")
    write_text(PARAMS, text)
    print(f"{PARAMS}: study {name}")


def save_study() -> None:
    """Write studies/{study}.yaml, unless another study has that name."""
    text = PARAMS.read_text(encoding="utf-8")
    study, values = own_study(text), parsed(text, str(PARAMS))
    target = STUDIES / f"{validated(Params, values, f'{PARAMS}: ').study}.yaml"
    if parsed(study, str(target)) != {key: values[key] for key in KEYS}:
        raise ValueError(f"{PARAMS}: indent what belongs to study and grid; their end cannot be told")
    if target.exists() and own_study(target.read_text(encoding="utf-8")) != study:
        raise ValueError(f"{target} is another study; give yours a name of its own: study: NAME in {PARAMS}")
    write_text(target, study)
    print(f"{target}: saved")


def print_table() -> None:
    """Print results/{study}/summary.md."""
    study = validated(Params, read_yaml(PARAMS), f"{PARAMS}: ").study
    print(Path("results", study, "summary.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
