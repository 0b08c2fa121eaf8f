"""Choose a study, see how far it is, prove it, and hand it from one engine to the other."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ulfine.errors import explained
from ulfine.files import read_json, write_json, write_text
from ulfine.params.base import parsed
from ulfine.params.reference import reference, schema
from ulfine.params.root import load, params_of
from ulfine.runner.dvc_lock import mend
from ulfine.runner.engines import at_work, tell_dvc, unlock
from ulfine.runner.fingerprints import Tree
from ulfine.runner.functions import functions
from ulfine.runner.jobs import PARAMS, jobs
from ulfine.runner.offline import make_plots_offline
from ulfine.runner.plan import Plan
from ulfine.runner.plan import table as planned
from ulfine.runner.preflight import checked
from ulfine.runner.reconcile import commit
from ulfine.runner.resolve import resolved
from ulfine.runner.states import DONE, states, table
from ulfine.runner.study import KEYS, choose, own_study, studies
from ulfine.runner.usage import where
from ulfine.runner.verify import verify

STUDIES = Path("studies")
REFERENCE, SCHEMA, FUNCTIONS = Path("docs/parameters.md"), Path("params.schema.json"), Path("docs/functions.md")
MANY = 100  # stages, beyond which DVC spends its time on dvc.lock, which it rewrites after each


class Verb(NamedTuple):
    """A subcommand."""

    run: Callable[..., None]
    help: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], object] = lambda _: None  # adds its own


def main() -> None:
    """Parse the command line and run one command."""
    parser = argparse.ArgumentParser(prog="ulfine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, verb in VERBS.items():
        command = commands.add_parser(
            name, help=verb.help, description=verb.help, epilog=f"example: {verb.example}", allow_abbrev=False
        )
        verb.arguments(command)
    arguments = vars(parser.parse_args())
    verb = VERBS[arguments.pop("command")]
    try:
        verb.run(**arguments)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        line = explained(error)
        if line is None:
            raise
        sys.exit(line)


def ask_study(command: argparse.ArgumentParser) -> None:
    """Ask for the name of a study."""
    known = studies(STUDIES)
    command.add_argument("name", metavar="NAME", choices=known, help=f"one of: {', '.join(known)}")


def choose_study(name: str) -> None:
    """Rewrite params.yaml, unless the result would be refused, or an edit lost."""
    text = choose(STUDIES, PARAMS.read_text(encoding="utf-8"), name)
    where = f"{PARAMS} with {STUDIES / name}.yaml"
    params_of(parsed(text, where), f"{where}: ")
    write_text(PARAMS, text)
    print(f"{PARAMS}: study {name}")


def save_study() -> None:
    """Write studies/{study}.yaml, unless another study has that name."""
    text = PARAMS.read_text(encoding="utf-8")
    study, values = own_study(text), parsed(text, str(PARAMS))
    target = STUDIES / f"{params_of(values, f'{PARAMS}: ').study}.yaml"
    if parsed(study, str(target)) != {key: values[key] for key in KEYS}:
        raise ValueError(f"{PARAMS}: indent what belongs to study and grid; their end cannot be told")
    if target.exists() and own_study(target.read_text(encoding="utf-8")) != study:
        raise ValueError(f"{target} is another study; give yours a name of its own: study: NAME in {PARAMS}")
    write_text(target, study)
    print(f"{target}: saved")


def print_table() -> None:
    """Print the main table, the verdicts on the paper's claims, and where the page is."""
    folder = Path("results", load(PARAMS).study)
    print((folder / "summary.md").read_text(encoding="utf-8"))
    for sentence, verdicts in counted_verdicts(read_json(folder / "claims.json")):
        print(f"{sentence}: {verdicts}")
    print(f"\n{folder / 'report.html'}")


def counted_verdicts(claims: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each claim and its verdict; how often each verdict, where there are several splits or families of methods.

    Families of methods of which none was run are left out.
    """
    found: dict[str, list[str]] = {}
    ran = {each["family"] for each in claims["claims"] if each["seeds"]}
    for each in claims["claims"]:
        if ran and each["family"] not in ran:
            continue
        reason = f" ({each['reason']})" if each["reason"] else ""
        family = f", {claims['families'][each['family']]}" if len(ran) > 1 else ""
        found.setdefault(f"{each['sentence']}{family}", []).append(f"{each['verdict']}{reason}")
    for sentence, verdicts in found.items():
        counts = Counter(verdicts)
        yield sentence, ", ".join(f"{count} x {name}" if len(verdicts) > 1 else name for name, count in counts.items())


def print_status() -> None:
    """Print how far the grid is, by stage, and what is not done."""
    params = load(PARAMS)
    found = states(Tree(resolved(params)))
    busy = at_work()
    print(f"study {params.study}: {len(found)} jobs" + (f"; {busy} is at work" if busy else ""))
    print(table(found))
    print(*where(state.job for state in found if state.name == DONE), sep="\n")


def print_plan() -> None:
    """Print what is left of the grid and what it needs, by stage."""
    params = load(PARAMS)
    print(f"study {params.study}, on {params.runtime.device} with {params.runtime.num_threads} threads")
    print(planned(Plan(params, Tree(resolved(params)))))


def print_verified() -> None:
    """Read every artifact again, and print what is not as it was made."""
    problems, files = verify(Tree(resolved(load(PARAMS))))
    print(*problems, sep="\n", end="\n" if problems else "")
    if problems:
        raise ValueError(f"{files} files read: {len(problems)} problems")
    print(f"{files} files read: all of them are what the stages left, with the present parameters, code and inputs")


def show_running() -> None:
    """Show what runs now until Ctrl-C."""
    from ulfine.runner.watch import watch  # whose tables no other command waits for

    watch()


def ask_run(command: argparse.ArgumentParser) -> None:
    """Ask for a run."""
    command.add_argument("run", metavar="RUN", type=Path, help="a folder artifacts/runs/…/seedN")


def ask_prediction(command: argparse.ArgumentParser) -> None:
    """Ask for a run, pictures, and how to say what it makes of them."""
    ask_run(command)
    command.add_argument("images", metavar="IMAGES", type=Path, nargs="+", help="picture files, and folders of them")
    command.add_argument("--top", type=int, default=5, help="classes for each picture (default: 5)")
    command.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    command.add_argument("--out", type=Path, help="a file to write, .csv or .json (default: CSV on the terminal)")


def predict(**asked: Any) -> None:
    """Classify new pictures by a run."""
    from ulfine.runner.predictions import print_predictions  # which takes the seconds that torch does

    print_predictions(**asked)


def ask_export(command: argparse.ArgumentParser) -> None:
    """Ask for a run and a folder."""
    ask_run(command)
    command.add_argument("folder", metavar="FOLDER", type=Path, help="where to write; it must not be there yet")
    command.add_argument("--onnx", action="store_true", help="add model.onnx; needs the package onnxscript")


def export(**asked: Any) -> None:
    """Write a run as a folder that others load."""
    from ulfine.runner.export import export  # which takes the seconds that torch does

    export(**asked)


def commit_results() -> None:
    """Write the results of the grid into DVC."""
    print(commit(resolved(load(PARAMS))))


def prepare() -> None:
    """Make DVC ready to run: it reads dvc.lock and the grid before it runs a stage that could complain."""
    for line in (*unlock(), mend(), tell_dvc(), *checked(PARAMS).notes):
        if line:
            print(line)
    make_plots_offline()
    stages = len(jobs()) + 1  # `resolve`
    if stages > MANY:
        print(
            f"{PARAMS}: {stages} stages; DVC rewrites dvc.lock after each of them and gets slow beyond {MANY}. "
            "Faster: `snakemake --cores 2`, then `ulfine commit`"
        )


def write_reference() -> None:
    """Write docs/parameters.md, params.schema.json and docs/functions.md."""
    write_text(REFERENCE, reference())
    write_text(FUNCTIONS, functions())
    write_json(SCHEMA, schema())


VERBS = {
    "study": Verb(
        choose_study,
        "put the study and grid of studies/NAME.yaml into params.yaml",
        "ulfine study paper-cifar10",
        ask_study,
    ),
    "save": Verb(
        save_study, "write the study and grid of params.yaml to studies/, under the study's name", "ulfine save"
    ),
    "status": Verb(
        print_status, "tell which jobs of the grid are done, stale, missing or failed, and why", "ulfine status"
    ),
    "watch": Verb(
        show_running, "show what runs now, how far it is and how long it will take, until Ctrl-C", "ulfine watch"
    ),
    "plan": Verb(print_plan, "tell what is left of the grid, and what time, memory and disk that needs", "ulfine plan"),
    "table": Verb(
        print_table, "print the summary, the verdicts and the page of the study", "make repro && ulfine table"
    ),
    "verify": Verb(
        print_verified,
        "read every artifact and prove it by its hash, and by the parameters, code and inputs it was made from",
        "dvc pull && ulfine verify",
    ),
    "commit": Verb(
        commit_results,
        "after a run by Snakemake: write the results into DVC, unless some are stale",
        "snakemake --cores 2 && ulfine commit && dvc push",
    ),
    "preflight": Verb(
        prepare,
        "before `dvc repro`: remove what killed engines left behind, check the parameters, count the stages",
        "ulfine preflight && dvc repro",
    ),
    "predict": Verb(
        predict,
        "classify pictures by a run: the first classes, and what each of its classifiers says",
        "ulfine predict artifacts/runs/fashion-mnist-mini/consistent/lite0-minilm/ulfine/seed0 photos/",
        ask_prediction,
    ),
    "export": Verb(
        export,
        "write a run as a folder with a card: towers for open_clip where they fit it, classifiers, and ONNX",
        "ulfine export artifacts/runs/fashion-mnist-mini/consistent/lite0-minilm/fft/seed0 fft/ --onnx",
        ask_export,
    ),
    "reference": Verb(
        write_reference,
        f"describe every parameter, in {REFERENCE} and for editors in {SCHEMA}, and public functions in {FUNCTIONS}",
        "ulfine reference",
    ),
}

if __name__ == "__main__":
    main()
