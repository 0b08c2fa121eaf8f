"""The page of a study: escaped, complete, and readable whichever methods were run."""

import io
import re
import shutil
import subprocess
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.project import ROOT
from tests.helpers.synthetic import TASK, make_cell, sample, study_of
from ulfine.evaluation.gallery import gallery, save
from ulfine.evaluation.page import rendered
from ulfine.evaluation.report import bibtex, cell_id, cell_id_of, parts

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """The content of a page; every tag must be closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.texts, self.tags, self.open = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values[key] for key in ("href", "src", "xlink:href") if key in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page_of(study, folder: Path) -> str:
    folder.mkdir()
    drawn = list(gallery(study))
    save(drawn, folder)
    return rendered(study.name, parts(study, drawn, folder))


def names_of(classes: int) -> list[str]:
    return [f"class {k}" for k in range(classes)]


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> tuple[str, Path]:
    """Make a study with everything: five methods, three seeds, an ablation, a sweep, scratch with a curve."""
    folder = tmp_path_factory.mktemp("full")
    runs = [
        make_cell(folder, method, seed, accuracy=accuracy, curve=[0.1, 0.5, 0.5, 0.5] if method == "scratch" else None)
        for method, accuracy in (("lp", 0.5), ("lft", 0.6), ("ulfine", 0.7), ("ulfine_no_paf", 0.65), ("scratch", 0.4))
        for seed in range(3)
    ]
    sweep = [(TASK | {"method": "lp", "seed": 0}, [{"train.lr": lr, "accuracy": 0.5 + lr} for lr in (0.01, 0.1)])]
    return page_of(study_of(runs, names_of(6), sweep=sweep), folder / "figures"), folder


def test_a_full_page_has_every_part_and_asks_for_nothing(full):
    page = Page(full[0])
    wanted = {"what", "verdicts", "main", "groups", "pseudo-labels", "reliability", "prototypes", "fusion", "curves"}
    assert wanted | {"pictures", "ablations", "cost", "cells", "assumptions", "cite"} <= set(page.ids)
    assert all(link.startswith(("#", "data:", "../../docs/method.md#")) for link in page.links)
    assert not re.search(r"url\((?!#)|@import|<script|<iframe", full[0])
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
    assert len(full[0].encode()) <= 5_000_000


def test_what_nobody_can_judge_is_not_drawn_and_has_no_number(tmp_path):
    """Make a study of two classes, none of them medium, and a pool of unknown classes."""
    runs = [make_cell(tmp_path, name, 0, classes=2, known=False) for name in ("lp", "ulfine")]
    text = page_of(study_of(runs, names_of(2)), tmp_path / "figures")
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert "d-s-b-reliability" in drawn and not drawn & {"d-s-b-pseudo-labels", "d-s-b-confidence"}
    assert ">test pictures</text>" in text and ">unlabeled pictures</text>" not in text
    fusion = runs[1].fusion
    assert sum(shares["head"] for shares in fusion.values()) == pytest.approx(1)
    assert {shares["medium"] for shares in fusion.values()} == {None}
    assert re.search(r"medium</td>(\s*<td[^>]*><[^>]*>n/a</[^>]*></td>|\s*<td[^>]*>n/a</td>){4}", text)


def test_methods_are_ranked_where_there_are_enough_blocks(tmp_path):
    runs = [
        make_cell(tmp_path, method, seed, accuracy=accuracy)
        for method, accuracy in (("lp", 0.5), ("lft", 0.6), ("ulfine", 0.7))
        for seed in range(5)
    ]
    text = page_of(study_of(runs, names_of(6)), tmp_path / "figures")
    assert "ranks" in Page(text).ids and (tmp_path / "figures/ranks.svg").exists()
    assert "5 blocks" in text
    assert re.search(r'<th scope="row">ulfine</th>\s*<td class=" best">1\.00</td>', text)  # the first in every block


def test_a_page_can_be_heard(full):
    text = full[0]
    assert '<html lang="en">' in text and 'name="viewport"' in text
    assert len(re.findall(r"<svg[^>]*role=\"img\"[^>]*aria-label=\"[^\"]{40,}", text)) == text.count("<svg")
    assert text.count("<caption>") == text.count("<table>") == text.count("<thead>")
    assert 'scope="row"' in text and 'scope="col"' in text
    assert "prefers-color-scheme: dark" in text and "@media print" in text


def test_figures_have_real_text_and_the_colour_of_the_page(full):
    assert ">accuracy, %</text>" in full[0]
    assert "currentColor" in full[0] and "#1a1a1b" not in full[0].split("</style>", 1)[1]
    svgs, pdfs = (sorted(path.stem for path in (full[1] / "figures").glob(f"*.{suffix}")) for suffix in ("svg", "pdf"))
    assert svgs == pdfs and len(svgs) == 11
    assert {"sensitivity-lp", "d-s-b-fusion", "d-s-b-classifiers"} <= set(svgs)


@pytest.mark.slow
def test_figures_have_the_same_bytes_each_time(tmp_path):
    runs = [make_cell(tmp_path, "ulfine", seed) for seed in range(2)]
    for name in ("one", "two"):
        page_of(study_of(runs, names_of(6)), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_number_leads_to_its_files(full):
    text, folder = full
    page = Page(text)
    assert f'href="#{cell_id(TASK | {"method": "lft", "seed": 0})}"' in text
    path = folder / "results/cells/d/s/b/lft/seed1/metrics.json"
    assert path.as_posix() in "".join(page.texts)
    assert cell_id_of("results/cells/d/s/b/lft/seed1/metrics.json") == cell_id(TASK | {"method": "lft", "seed": 1})
    assert "Parameters of lft" in text and "steps: 2" in text and "0" * 64 in text


def test_what_was_not_run_is_named(full):
    row = re.search(r'<th scope="row">fft</th>.*?</tr>', full[0], re.DOTALL).group()
    assert row.count("not run") == 9
    assert "fft_plain" not in full[0]  # of that family nothing was run


def test_the_stand_in_says_nothing_about_clip(full):
    assert "Stand-in tower (b): says nothing about CLIP." in full[0]
    assert "No number of ULFine itself was published" in full[0]


FRAME = """<iframe src="page.html" style="width: {width}px; height: 900px; border: 0"></iframe>
<script>onload = () => {{ document.title = document.querySelector("iframe").contentDocument.title }}</script>"""
HOSTILE = ['<script>alert("x")</script>', "a \"quoted\" & 'other' name", "<b>bold", "&amp;", "ünï 中文", "{{ 7 * 7 }}"]


def test_names_with_quotes_and_tags_are_shown_as_they_are(tmp_path):
    runs = [make_cell(tmp_path, "lp", 0)]
    text = page_of(study_of(runs, HOSTILE, name="a<b>&c"), tmp_path / "figures")
    page = Page(text)
    assert "script" not in page.tags and "b" not in page.tags
    assert set(HOSTILE) <= set(page.texts)
    assert "a<b>&c: results" in page.texts


@pytest.mark.parametrize(
    "classes", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.slow)]
)
def test_few_and_many_classes(tmp_path, classes):
    runs = [make_cell(tmp_path, method, 0, classes=classes, pictures=2) for method in ("lp", "ulfine")]
    text = page_of(study_of(runs, names_of(classes)), tmp_path / "figures")
    assert Page(text).texts.count(f"class {classes - 1}") == 2  # in the table of recalls, and beside its pictures
    assert len(text.encode()) <= 5_000_000


def test_one_method_and_one_seed(tmp_path):
    text = page_of(study_of([make_cell(tmp_path, "lp", 0)], names_of(6)), tmp_path / "figures")
    assert "★ the best" in text and 'class=" best"' not in text
    assert "nan" not in "".join(Page(text).texts)


def test_missing_diagnostics_leave_their_parts_out(tmp_path):
    runs = [make_cell(tmp_path, method, 0, diagnostics=False) for method in ("lp", "ulfine")]
    page = Page(page_of(study_of(runs, names_of(6)), tmp_path / "figures"))
    assert "curves" not in page.ids and "prototypes" not in page.ids
    assert "reliability" in page.ids and "fusion" in page.ids


def test_figures_beyond_the_room_of_the_page_stay_files(tmp_path, monkeypatch):
    monkeypatch.setattr("ulfine.evaluation.page.INLINE", 60_000)
    text = page_of(study_of([make_cell(tmp_path, "lp", 0)], names_of(6)), tmp_path / "figures")
    assert 0 < text.count("<svg") < 6
    assert "<code>results/try/figures/d-s-b-" in text


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_without_complaint(full, tmp_path, width):
    measure = "<script>document.title = `${document.documentElement.scrollWidth} of ${innerWidth}`</script></body>"
    shown = tmp_path / "page.html"
    shown.write_text(full[0].replace("</body>", measure))
    # a proxy that is not there: what the page asks of others fails, and is logged
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--proxy-server=127.0.0.1:9"]
    command += [
        "--enable-logging=stderr",
        f"--window-size={max(width, 500)},900",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    if width < 500:  # which no window of Chromium goes below: a frame does
        frame = tmp_path / "frame.html"
        frame.write_text(FRAME.format(width=width))
        command, shown = [*command, "--allow-file-access-from-files"], frame
    done = subprocess.run(
        [*command, "--dump-dom", shown.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in done.stderr
    needed, there = map(int, re.search(r"<title>(\d+) of (\d+)</title>", done.stdout).groups())
    assert there == width and needed <= there


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_page_is_printed_with_its_folded_tables(full, tmp_path):
    shown, printed = tmp_path / "page.html", tmp_path / "page.pdf"
    shown.write_text(full[0])
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--proxy-server=127.0.0.1:9"]
    options += ["--no-pdf-header-footer", f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={printed}"]
    subprocess.run([CHROMIUM, *options, shown.as_uri()], capture_output=True, timeout=120, check=True)
    pages = len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes()))
    assert 4 <= pages <= 20


def test_pictures_are_rows_of_each_class_with_their_counts():
    ((where, rows),) = sample(names_of(30))
    assert where == "d, s, seed 0" and len(rows) == 12 and rows[0].name == "class 0" and rows[-1].name == "class 29"
    assert rows[0].counts == {"labeled": 2, "unlabeled": None, "validation": 0}
    with Image.open(io.BytesIO(b64decode(rows[0].png.removeprefix("data:image/png;base64,")))) as picture:
        assert picture.size == (8 + 2 + 8, 8)


def test_classifiers_before_and_after_paf_and_dlf_are_told(full):
    assert re.findall(r">(text, before PAF|text, after PAF|linear, before DLF|fused by DLF)</td>", full[0])[:4] == [
        "text, before PAF",
        "text, after PAF",
        "linear, before DLF",
        "fused by DLF",
    ]


def test_assumptions_have_the_values_of_the_run_and_lead_to_their_reasons(full):
    rows = re.findall(r'<a href="../../docs/method.md#([\w-]+)">([\w.]+)</a></th><td[^>]*>(.*?)</td>', full[0])
    found = {key: (anchor, value) for anchor, key, value in rows}
    assert found["train.threshold"] == ("what-all-trained-methods-share", "0.9")
    assert found["dlf.use_in"] == ("ulfine", "test") and found["paf.mu"] == ("ulfine", "n/a")
    titles = re.findall(r"^## (.*)$", (ROOT / "docs/method.md").read_text(), re.MULTILINE)
    assert {anchor for anchor, _ in found.values()} <= {title.lower().replace(" ", "-") for title in titles}


def test_bibtex_by_hand():
    paper = {
        "title": "P",
        "year": 2025,
        "url": "u",
        "authors": [{"family-names": "A", "given-names": "B"}, {"name": "C"}],
    }
    text = bibtex({"title": "S", "version": "1", "authors": [{"name": "D"}], "preferred-citation": paper})
    first, second = text.split("\n\n")
    assert first == "@article{ulfine,\n  title = {{P}},\n  author = {A, B and C},\n  year = {2025},\n  url = {u},\n}"
    assert second == "@software{ulfine_software,\n  title = {{S}},\n  author = {D},\n  version = {1},\n}"
