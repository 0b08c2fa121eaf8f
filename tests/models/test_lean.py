import subprocess
import sys

from tests.helpers.project import ROOT

USE = """
import sys, torch
import ulfine.models.lean
import ulfine.models.embedded, ulfine.models.fast, open_clip, timm, torchvision
assert not [name for name in sys.modules if name.startswith("torch._dynamo")], "torch's compiler was imported"
tower = timm.create_model("naflexvit_base_patch16_gap", depth=1, num_classes=0).eval()  # leaves methods alone
assert tower(torch.zeros(1, 3, 32, 32)).shape == (1, 768)
pooled = torchvision.ops.roi_align(torch.ones(1, 1, 4, 4), [torch.tensor([[0.0, 0, 2, 2]])], 2)  # asks the compiler
assert torch.equal(pooled, torch.ones(1, 1, 2, 2))
import torch._dynamo
assert torch._dynamo.utils.is_compile_supported("cpu") in (True, False)
assert torch.compiler.disable.__module__ == "torch.compiler"
"""


def test_open_clip_is_imported_without_the_compiler_which_is_there_when_asked():
    found = subprocess.run([sys.executable, "-c", USE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
