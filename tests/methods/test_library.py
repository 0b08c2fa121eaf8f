"""The example of docs/library.md, run as it stands."""

import re

import pytest
import torch

from tests.helpers.project import ROOT


def test_the_example_of_the_page_runs_and_its_classifiers_learn():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/library.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(code, names)  # noqa: S102 (our own page)
    text, prototypes, linear = (names[name] for name in ("text", "prototypes", "linear"))
    assert names["fitting"].seen.all() and names["targets"].kept.any()
    assert prototypes.norm(dim=-1).tolist() == pytest.approx([1] * 10, abs=1e-5)
    assert (torch.nn.functional.cosine_similarity(prototypes, text) < 0.9999).all()  # fitted to the data
    accuracy = (names["weak"] @ linear.T).argmax(1).eq(names["labels"]).float().mean()
    assert accuracy > 0.9
