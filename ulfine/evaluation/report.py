"""The text of a study's page, part by part."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from ulfine.evaluation.aggregate import STAND_IN, mixed_devices
from ulfine.evaluation.loaded import Loaded, methods_of
from ulfine.evaluation.page import Code, Drawings, Part, Table
from ulfine.evaluation.pictures import Shown
from ulfine.evaluation.ranks import Ranks, ranks
from ulfine.evaluation.tables import (
    MAIN,
    Task,
    assumptions_table,
    cell_id,
    cells_table,
    class_table,
    classifiers_table,
    compared_table,
    cost_table,
    difference_table,
    fusion_table,
    pictures_table,
    pseudo_table,
    published_table,
    rank_table,
    score_table,
    title,
)

if TYPE_CHECKING:
    from ulfine.evaluation.gallery import Drawn

VERDICTS = ("holds", "fails", "undecided", "not run")
QUANTITIES = {
    "accuracy": "accuracy",
    "acc_tail": "accuracy on the tail",
    "pl_false": "false among kept pseudo-labels",
    "pl_wrong_confidence": "confidence of false predictions",
    "log10_flops": "operations",
    "log10_seconds": "seconds",
}
NO_EVIDENCE = "What holds or fails here is no evidence for or against the paper."
MAIN_TEXT = (
    "Accuracy is the mean class recall on the test set after the last step. Head and tail are a third of the classes "
    "each, by number of labeled pictures. A name leads to its cells: their files, hashes and parameters.",
    "No number of ULFine itself was published, as far as is known; none can stand beside these.",
)
PSEUDO_TEXT = (
    "Right and false count where the true class is known, which training never sees. The table is of the final model: "
    "one plain pass over the unlabeled pictures."
)
CALIBRATION_TEXT = (
    "Overconfident is a classifier whose accuracy lies below its confidence. Of a method that fuses, each classifier "
    "is judged on the same final features, by what it would make of the unlabeled pictures at the training's threshold."
)
ASSUMED_TEXT = (
    "The paper's text gives the idea of PAF and DLF and none of their constants; no code and no results are public. "
    "Each is a parameter here; docs/method.md has the equation, the reason and the figures behind the default."
)
COST_TEXT = (
    "Seconds and memory are of the device named; operations are counted, forward and backward. Features, which linear "
    "probing reads and which are made once for all methods, are not in these seconds. As published: by the steps and "
    "batches of `published` in params.yaml, at this cost per view."
)
CELLS_TEXT = (
    "A number above is a mean over the metrics files of its method, each made from one run by the parameters below."
)
CITE_TEXT = "The paper, and this software as what produced these numbers:"


@dataclass(frozen=True)
class Study:
    """All that a page tells of."""

    name: str
    tasks: list[Task]
    tables: dict[str, pd.DataFrame]  # runs, summary, cost, sweep
    claims: dict[str, Any]  # claims.json
    families: dict[str, dict[str, str]]  # the methods of the claims, by family and role
    catalogue: list[str]  # all methods of params.yaml
    classes: dict[str, list[str]]  # names by data set
    samples: list[tuple[str, list[Shown]]]  # pictures of each split, and of which
    published: pd.DataFrame  # assets/published.csv
    citation: dict[str, Any]  # CITATION.cff

    @cached_property
    def ranks(self) -> Ranks | None:
        """Its methods by rank."""
        return ranks(self.tables["runs"], self.claims["level"])

    def run_families(self, runs: Sequence[Loaded]) -> list[str]:
        """Families of which a method was run that no other one has; the first of all where there is none."""
        ran, found = set(methods_of(runs)), []
        for family, methods in self.families.items():
            others = {name for other, of in self.families.items() if other != family for name in of.values()}
            if ran & set(methods.values()) - others:
                found.append(family)
        return found or list(self.families)[:1]

    def ulfine(self) -> str:
        """The method that stands for ULFine in the last family that was run."""
        families = [family for _, runs in self.tasks for family in self.run_families(runs)]
        return self.families[families[-1]]["ulfine"]


def parts(study: Study, drawn: Sequence["Drawn"], folder: Path) -> list[Part]:
    """The parts of the page, in order.

    Args:
        study: what was run.
        drawn: its figures.
        folder: where their files are.
    """
    drawings = Drawings(folder, f"results/{study.name}/figures")

    def figures(part: str) -> list[Any]:
        return [drawings.drawing(each.name, each.caption) for each in drawn if each.part == part]

    def each(table: Callable[..., Table | None], *arguments: Any) -> list[Table]:
        return [found for task in study.tasks if (found := table(task, *arguments)) is not None]

    summary = study.tables["summary"]
    pseudo = [*figures("pseudo-labels"), *each(pseudo_table, summary)]
    calibration = [*figures("reliability"), *each(classifiers_table)]
    ulfine = study.ulfine()
    ablations = [*each(difference_table, ulfine), *figures("ablations")]
    samples = [found for where, rows in study.samples if (found := pictures_table(where, rows)) is not None]
    return [
        what_part(study),
        verdict_part(study),
        main_part(study),
        Part("pictures", "Pictures", blocks=samples),
        rank_part(study, figures("ranks")),
        Part("groups", "Head, medium and tail", blocks=[*figures("groups"), *each(class_table, study.classes)]),
        Part("pseudo-labels", "Pseudo-labels", [PSEUDO_TEXT], pseudo),
        Part("reliability", "Calibration, before and after PAF and DLF", [CALIBRATION_TEXT], calibration),
        Part("prototypes", "Prototypes before and after PAF", blocks=figures("prototypes")),
        Part("fusion", "Fusion", blocks=[*figures("fusion"), *each(fusion_table)]),
        Part("curves", "Training curves", blocks=figures("curves")),
        Part("ablations", "Ablations and sensitivity", blocks=ablations),
        Part("cost", "Cost", [COST_TEXT], [*figures("cost"), cost_table(study.tables["cost"])]),
        Part("cells", "Cells, files and hashes", [CELLS_TEXT], [*each(cells_table), *parameters(study)]),
        Part("assumptions", "What the paper does not settle", [ASSUMED_TEXT], each(assumptions_table, ulfine)),
        Part("cite", "How to cite", [CITE_TEXT], [Code(bibtex(study.citation))]),
    ]


def what_part(study: Study) -> Part:
    """Describe what was run, and what it can show."""
    runs = [run for _, of_task in study.tasks for run in of_task]
    seeds = dict.fromkeys(str(run.names["seed"]) for run in runs)
    counts = Counter(each["verdict"] for each in shown_claims(study))
    texts = [
        f"{len({cell_id(run.names) for run in runs})} runs: {', '.join(methods_of(runs))}; seeds {', '.join(seeds)}; "
        f"on {'; '.join(title(names) for names, _ in study.tasks)}.",
        f"Of the paper's claims: {', '.join(f'{counts[name]} {name}' for name in VERDICTS if counts[name])}.",
    ]
    stand_ins = sorted({run.names["backbone"] for run in runs if run.metrics["stand_in"]})
    notices = [f"{STAND_IN.format(names=', '.join(stand_ins))} {NO_EVIDENCE}"] if stand_ins else []
    return Part("what", "What was run", texts, notices=notices + mixed_devices(study.tables["cost"]))


def main_part(study: Study) -> Part:
    """The main table of each task, and published figures beside."""
    blocks: list[Any] = []
    known = False
    for task in study.tasks:
        families = [study.families[family].values() for family in study.run_families(task[1])]
        wanted = dict.fromkeys(chain.from_iterable(families))
        missing = [name for name in wanted if name not in methods_of(task[1])]
        beside = published_table(task, study.published)
        blocks += [score_table(task, study.tables["summary"], MAIN, missing), *([beside] if beside else [])]
        compared = compared_table(task, study.tables["summary"])
        blocks += [compared] if compared else []
        known = known or beside is not None
    texts = [*MAIN_TEXT, *([] if known else ["assets/published.csv has no figures of rivals on these data sets."])]
    return Part("main", "Main table", texts, blocks)


def rank_part(study: Study, drawings: list[Any]) -> Part:
    """The methods by their mean rank."""
    found = study.ranks
    if found is None:
        return Part("ranks", "Ranks")
    text = (
        f"{found.blocks} blocks, a split and a seed each; in a block, the best accuracy has rank 1. Two methods differ "
        f"where their mean ranks are {found.difference:.2f} apart (Nemenyi, {study.claims['level']:.0%}); that all are "
        f"the same has p = {found.p_value:.2g} (Friedman). Blocks of one split share their test pictures, so that the "
        "tests are more certain than they should be."
    )
    return Part("ranks", "Ranks", [text], [*drawings, rank_table(found)])


def shown_claims(study: Study) -> list[dict[str, Any]]:
    """The findings of claims.json on families of methods that were run there."""
    ran = {title(task): study.run_families(runs) for task, runs in study.tasks}
    return [each for each in study.claims["claims"] if each["family"] in ran[title(each["task"])]]


def verdict_part(study: Study) -> Part:
    """The paper's claims, one by one, for each family of methods that was run."""
    claims, groups = study.claims, {}
    for each in shown_claims(study):
        names = [(name, seed) for name in each["methods"] for seed in each["seeds"]]
        files = [file for of_method in each["sources"] for file in of_method]
        sources = [
            {"id": cell_id_of(file), "text": f"{name}, seed {seed}"}
            for (name, seed), file in zip(names, files, strict=True)
        ]
        shown = {"verdict": each["verdict"], "sentence": each["sentence"], "numbers": numbers(each), "sources": sources}
        groups.setdefault(f"{title(each['task'])}: {claims['families'][each['family']]}", []).append(shown)
    text = (
        f"Each claim is a difference of two methods, paired by seed, with an interval over seeds and, for accuracies, "
        f"one over test pictures; {claims['tests']} tests share {claims['level']:.0%} confidence. A claim holds when "
        f"both intervals lie on its side, fails when both lie on the other one; fewer than three seeds decide nothing. "
        f"Not to raise the tail is to raise it by less than {100 * claims['margin']:g} % of its pictures. All numbers: "
        f"results/{study.name}/claims.json. Families of methods of which none was run are there, not here."
    )
    verdicts = [{"title": name, "claims": found} for name, found in groups.items()]
    return Part("verdicts", "What holds of the paper's claims", [text], verdicts=verdicts)


def cell_id_of(metrics_file: str) -> str:
    """`cell_id` of the cell that a metrics file is of, by its path results/cells/…/seed{seed}/metrics.json."""
    *names, seed = metrics_file.split("/")[-6:-1]
    return cell_id(dict(enumerate([*names, seed.removeprefix("seed")])))


def numbers(finding: dict[str, Any]) -> str:
    """The evidence for a verdict, as a sentence."""
    if finding["mean"] is None:
        return f"{finding['reason']}."
    costs = finding["quantity"].startswith("log10")

    def shown(value: float) -> str:
        return f"{10**value:.3g}" if costs else f"{100 * value:+.1f}"

    first, second = finding["methods"]
    text = (
        f"{QUANTITIES[finding['quantity']]}, {first} {'over' if costs else 'less'} {second}: {shown(finding['mean'])}"
    )
    text += "" if costs else " points"
    for key, name in (("interval", "seeds"), ("bootstrap", "test pictures")):
        if finding[key]:
            text += f"; over {name} {shown(finding[key][0])} to {shown(finding[key][1])}"
    return f"{text}; {finding['reason']}." if finding["reason"] else f"{text}."


def bibtex(citation: dict[str, Any]) -> str:
    """BibTeX of the article and the software that a CITATION.cff names."""
    entries = []
    for kind, key, each in (
        ("article", "ulfine", citation.get("preferred-citation")),
        ("software", "ulfine_software", citation),
    ):
        if each is not None:
            authors = [
                author.get("name") or f"{author['family-names']}, {author['given-names']}" for author in each["authors"]
            ]
            fields = {"title": f"{{{each['title']}}}", "author": " and ".join(authors)}
            fields |= {name: each[name] for name in ("year", "version", "url") if name in each}
            lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
            entries.append("\n".join([f"@{kind}{{{key},", *lines, "}"]))
    return "\n\n".join(entries)


def parameters(study: Study) -> list[Code]:
    """The parameters of each method, as YAML, from the record of its first run."""
    found = []
    for names, runs in study.tasks:
        for method, members in methods_of(runs).items():
            text = yaml.safe_dump(members[0].record.get("parameters", {}), sort_keys=False, width=100)
            found.append(Code(text, f"Parameters of {method}: {title(names)}"))
    return found
