"""What the engines leave to do: choose a study, see how far it is, prove it, hand it from one engine to the other."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ulfine.check import checked
from ulfine.errors import explained
from ulfine.files import read_json, write_text
from ulfine.jobs import EACH_TIME, jobs
from ulfine.params.base import parsed, read_yaml, validated
from ulfine.params.claims import FAMILIES
from ulfine.params.reference import reference
from ulfine.params.root import Params, load
from ulfine.pipeline import PARAMS
from ulfine.study import KEYS, choose, own_study, studies
from ulfine.trust.engines import at_work, tell_dvc, unlock
from ulfine.trust.handover import adopt, record
from ulfine.trust.recorded import mend
from ulfine.trust.states import states, table
from ulfine.trust.verify import verify

STUDIES = Path("studies")
REFERENCE = Path("docs/parameters.md")
MANY = 100  # stages, beyond which DVC spends its time on dvc.lock, which it rewrites after each


def main() -> None:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser(prog="python -m ulfine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, what) in COMMANDS.items():
        command = commands.add_parser(name, help=what)
        if name == "study":
            known = studies(STUDIES)
            command.add_argument("name", metavar="NAME", choices=known, help=f"one of: {', '.join(known)}")
    arguments = vars(parser.parse_args())
    run, _ = COMMANDS[arguments.pop("command")]
    try:
        run(**arguments)
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
    """Print the main table, the verdicts on the paper's claims, and where the page is."""
    folder = Path("results", validated(Params, read_yaml(PARAMS), f"{PARAMS}: ").study)
    print((folder / "summary.md").read_text(encoding="utf-8"))
    for sentence, verdicts in counted_verdicts(read_json(folder / "claims.json")):
        print(f"{sentence}: {verdicts}")
    print(f"\n{folder / 'report.html'}")


def counted_verdicts(claims: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each claim, and its verdict; how often each of them, where there are several settings or families of methods.

    Families of methods of which none was run are left out.
    """
    found: dict[str, list[str]] = {}
    ran = {each["family"] for each in claims["claims"] if each["seeds"]}
    for each in claims["claims"]:
        if ran and each["family"] not in ran:
            continue
        reason = f" ({each['reason']})" if each["reason"] else ""
        family = f", {FAMILIES[each['family']]}" if len(ran) > 1 else ""
        found.setdefault(f"{each['sentence']}{family}", []).append(f"{each['verdict']}{reason}")
    for sentence, verdicts in found.items():
        counts = Counter(verdicts)
        yield sentence, ", ".join(f"{count} x {name}" if len(verdicts) > 1 else name for name, count in counts.items())


def print_status() -> None:
    """Print how far the grid is, by stage, and what is not done."""
    study = load(PARAMS).study
    found = states()
    busy = at_work()
    print(f"study {study}: {len(found)} jobs" + (f"; {busy} is at work" if busy else ""))
    print(table(found))


def print_verified() -> None:
    """Read every artifact again, and print what is not as it was made."""
    load(PARAMS)
    problems, files = verify()
    print(*problems, sep="\n", end="\n" if problems else "")
    if problems:
        raise ValueError(f"{files} files read: {len(problems)} problems")
    print(f"{files} files read: all of them are what the stages left, with the present parameters, code and inputs")


def print_recorded() -> None:
    """Write the results of the grid into DVC."""
    load(PARAMS)
    print(record())


def print_adopted() -> None:
    """Take over what DVC restored."""
    load(PARAMS)
    print(adopt())


def print_unlocked() -> None:
    """Remove what killed engines left."""
    print("\n".join(freed()) or "no lock is left over")


def freed() -> list[str]:
    """Remove locks, mend dvc.lock, and tell DVC whether there is git, unless an engine is at work; a line for each."""
    return [line for line in (*unlock(), mend(), tell_dvc()) if line]


def make_ready() -> None:
    """What `make repro` does before `dvc repro`, as DVC reads dvc.lock and the grid before it runs a stage."""
    print(*(f"{line}\n" for line in freed()), sep="", end="")
    _, notes = checked(PARAMS)
    for note in notes:
        print(note)
    stages = len(jobs()) + len(EACH_TIME)
    if stages > MANY:
        print(
            f"{PARAMS}: {stages} stages; DVC rewrites dvc.lock after each of them and gets slow beyond {MANY}. "
            "Faster: `snakemake --cores 2`, then `python -m ulfine record`"
        )


COMMANDS = {
    "study": (choose_study, "put the study and grid of studies/NAME.yaml into params.yaml"),
    "save": (save_study, "write the study and grid of params.yaml to studies/, under their name"),
    "table": (print_table, "print the summary, the verdicts and the page of the current study"),
    "status": (print_status, "tell what of the grid is done, stale, missing or failed, and why"),
    "verify": (print_verified, "prove every artifact by its hash, and by the parameters, code and inputs it came from"),
    "record": (print_recorded, "after a run by Snakemake: write the results into DVC, unless some are stale"),
    "adopt": (print_adopted, "after a pull, checkout or copy: take over what is right, so that none makes it again"),
    "unlock": (print_unlocked, "remove what engines that were killed left behind"),
    "ready": (make_ready, "what `make repro` does first: unlock, check the parameters, count the stages"),
    "parameters": (lambda: write_text(REFERENCE, reference()), "write docs/parameters.md"),
}

if __name__ == "__main__":
    main()
