"""How figures look: colours of Okabe and Ito, which people with any of the common colour deficiencies tell apart.

A method has the same colour, line and marker everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

INK = "#1a1a1b"  # of text and axes, a colour that nothing else has: a page replaces it by that of its own text
GREY = "#8c8c8c"
OWN = {  # by the role a method has in the paper
    "zero_shot": GREY, "scratch": INK, "lp": "#e69f00", "lft": "#56b4e9", "fft": "#d55e00", "ulfine": "#0072b2",
}  # fmt: skip
OTHERS = ("#009e73", "#cc79a7", "#b8a800")
LINES = ("-", "--", ":", "-.")
MARKERS = "osD^vPX*<>"
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
    """How a method is drawn."""

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
