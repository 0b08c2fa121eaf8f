"""The page of a study: one HTML file that asks for nothing else.

Parts are lists of blocks (tables, figures, texts), which the template beside this file lays out; jinja2 escapes every
text, names of classes and methods among them.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, StrictUndefined

from ulfine.evaluation.looks import INK

TEMPLATE = Path(__file__).with_name("report.html.jinja")
INLINE = 4_000_000  # characters of figures; what is beyond stays a file of its own


@dataclass(frozen=True)
class Text:
    """A cell of a table."""

    text: str
    href: str = ""
    code: bool = False  # a path or a hash
    best: bool = False
    missing: bool = False
    image: str = ""  # a data address; the text is for who cannot see it


@dataclass(frozen=True)
class Row:
    """A row of a table, with what links to it."""

    cells: list[Text]
    id: str = ""


@dataclass(frozen=True)
class Table:
    """A table; its first `text` columns are words."""

    caption: str
    header: list[str]
    rows: list[Row]
    text: int = 1
    folded: bool = False
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Drawing:
    """A figure: its SVG, or only the file where the page would grow too large."""

    file: str
    caption: str
    svg: str | None
    kind: Literal["figure"] = "figure"


@dataclass(frozen=True)
class Code:
    """Lines as they are; with a caption, folded."""

    text: str
    caption: str = ""
    kind: Literal["code"] = "code"


@dataclass(frozen=True)
class Part:
    """A section of the page."""

    id: str
    title: str
    texts: list[str] = field(default_factory=list)
    blocks: list[Table | Drawing | Code] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def rendered(study: str, parts: list[Part]) -> str:
    """The page; parts without anything are left out."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    shown = [part for part in parts if part.blocks or part.verdicts or part.notices or part.id == "what"]
    return template.render(study=study, parts=shown) + "\n"


class Drawings:
    """Figures on their way into a page, as long as there is room.

    Args:
        folder: where their SVG files are.
        told: what the page calls this folder.
    """

    def __init__(self, folder: Path, told: str) -> None:
        self.folder, self.told = folder, told
        self.room, self.number = INLINE, 0

    def drawing(self, name: str, caption: str) -> Drawing:
        """One of them."""
        self.number += 1
        svg = inlined((self.folder / f"{name}.svg").read_text(encoding="utf-8"), caption, f"f{self.number}-")
        fits = len(svg) <= self.room
        self.room -= len(svg) * fits
        return Drawing(f"{self.told}/{name}.svg", caption, svg if fits else None)


def inlined(svg: str, caption: str, prefix: str) -> str:
    """An SVG file as part of a page: in the page's ink, with ids of its own, and with a text for who cannot see it."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
    svg = re.sub(r'(xlink:href|href)="#', rf'\1="#{prefix}', svg)
    svg = svg.replace(INK, "currentColor")
    label = caption.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
