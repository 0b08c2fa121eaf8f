"""How figures look: colours of Okabe and Ito, which people with any of the common colour deficiencies tell apart.

A method has the same colour, line and marker everywhere.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

INK = "#1a1a1b"  # of text and axes, a colour that nothing else has: a page replaces it by that of its own text
GREY = "#8c8c8c"
OWN = {  # by the role a method has in the paper
    "zero_shot": GREY, "scratch": INK, "lp": "#e69f00", "lft": "#56b4e9", "fft": "#d55e00", "ulfine": "#0072b2",
}  # fmt: skip
OTHERS = ("#009e73", "#cc79a7", "#b8a800")
LINES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*<>"
MANY, COLUMN, LINE = 12, 1.75, 0.18  # entries of a legend; inches of a long name, and of a line
STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "ulfine", "pdf.fonttype": 42, "font.size": 9, "axes.titlesize": 9,
    "axes.spines.top": False, "axes.spines.right": False, "figure.facecolor": "none", "axes.facecolor": "none",
    "savefig.facecolor": "none", "legend.frameon": False, "axes.grid": True, "grid.alpha": 0.25,
    "grid.linewidth": 0.6, "figure.constrained_layout.use": True,
} | dict.fromkeys(
    ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), INK
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """The look of a method."""

    color: str
    line: str
    marker: str


class Looks:
    """The look of every method of a catalogue, whichever of them a study runs.

    Args:
        methods: names in the order of the catalogue.
    """

    def __init__(self, methods: Sequence[str]) -> None:
        others = [name for name in methods if name not in OWN]
        self._looks = {name: Look(color, "-", MARKERS[number]) for number, (name, color) in enumerate(OWN.items())}
        for number, name in enumerate(others):
            line, marker = LINES[1 + number // len(OTHERS) % 3], MARKERS[(number + len(OWN)) % len(MARKERS)]
            self._looks[name] = Look(OTHERS[number % len(OTHERS)], line, marker)

    def of(self, method: str) -> Look:
        """The look of one."""
        return self._looks[method]


def drawn(columns: int = 1, rows: int = 1, width: float = 3.2, height: float = 2.6) -> tuple[Figure, np.ndarray]:
    """A figure and its (rows, columns) axes; width and height of each in inches."""
    figure = Figure(figsize=(max(4.0, width * columns), height * rows))
    return figure, figure.subplots(rows, columns, squeeze=False)


def in_percent(axes: Axes, label: str) -> None:
    """Let the upright axis, of fractions, tell percent."""
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}")


def log_counts(axes: Axes) -> None:
    """A log scale of labeled pictures, with plain numbers at a few places."""
    axes.set_xscale("log")
    axes.set_xlabel("labeled pictures of the class")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def legend(axes: Axes, number: int) -> None:
    """Place a legend of so many entries above the axes."""
    columns = legend_columns(axes.figure, number)
    axes.legend(ncols=columns, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=8)


def legend_columns(figure: Figure, number: int) -> int:
    """Columns of a legend above a figure, which grows where many entries would leave nothing for the axes."""
    if number <= MANY:
        return min(number, 6)
    columns = max(1, int(figure.get_figwidth() / COLUMN))
    figure.set_figheight(figure.get_figheight() + LINE * math.ceil(number / columns))
    return columns


def shared_legend(figure: Figure, methods: Iterable[str], looks: Looks, *, lines: bool = True) -> None:
    """Place one legend of methods above all axes; lines: they are drawn as lines, else as points."""
    handles = [
        Line2D([], [], color=looks.of(name).color, linestyle=looks.of(name).line if lines else "",
               marker="" if lines else looks.of(name).marker, label=name)
        for name in methods
    ]  # fmt: skip
    columns = legend_columns(figure, len(handles))
    figure.legend(handles=handles, ncols=columns, loc="outside upper center", fontsize=8)
