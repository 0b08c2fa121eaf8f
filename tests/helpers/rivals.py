"""Constants of every rival that trains, for tests."""

from typing import Any

CONSTANTS: dict[str, dict[str, Any]] = {
    "flexmatch": {},
    "freematch": {"decay": 0.5, "fairness": 2},
    "softmatch": {"decay": 0.5, "width": 2},
    "debiaspl": {"tau": 0.5},
    "simpro": {"tau": 1, "decay": 0.5},
    "acr": {"tau": 2, "decay": 0.5, "begin": 0},
    "daso": {
        "queue": 2, "prototype_temperature": 0.5, "temperature": 2, "decay": 0.5, "alignment": 3, "begin": 0,
    },
    "finessl": {"margin": 8, "smoothing": 0.5},
    "crest": {"generations": 3, "alpha": 0.5, "least_power": 0.5},
    "clip_adapter": {"ratio": 0.5, "reduction": 1},
}  # fmt: skip


def method(kind: str, **more: Any) -> dict[str, Any]:
    """A method of params.yaml on frozen features, with a rival of these constants."""
    return {"tune": "head", "rival": {"kind": kind} | CONSTANTS[kind]} | more
