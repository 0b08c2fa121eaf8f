"""A file of weights on this machine: where it lies, and whether it has the hash that params.yaml gives."""

from pathlib import Path

from ulfine.files import located, proved
from ulfine.params.backbone import FOLDER, Backbone

ENDINGS = (".safetensors", ".bin", ".pth")
USUAL = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)


def checkpoint_in(folder: Path) -> Path:
    """The checkpoint of a folder in open_clip's layout, by open_clip's rule: a usual name, else .safetensors first.

    Raises:
        ValueError: it holds none.
    """
    found = sorted(path for path in folder.glob("*") if path.suffix in ENDINGS)
    if not found:
        raise ValueError(f"{folder}: holds no checkpoint (*.safetensors, *.bin or *.pth)")
    usual = [folder / name for name in USUAL if folder / name in found]
    return usual[0] if usual else min(found, key=lambda path: path.suffix != ".safetensors")


def require_there(backbone: Backbone) -> None:
    """Refuse a backbone whose files on this machine are not there; light enough for a check.

    Raises:
        ValueError: one is not; the message has the key and the file.
    """
    named = {"model": backbone.model if backbone.model.endswith(".json") else None}
    named["pretrained"] = backbone.pretrained if backbone.checkpoint else None
    for key, name in named.items():
        if name and not located(name).is_file():
            raise ValueError(f"{key} = {name!r}: no such file")


def require_unchanged(backbone: Backbone) -> None:
    """Refuse a local checkpoint that is there and has another sha256 than params.yaml gives; light enough for a check.

    Raises:
        ValueError: it has; the message names the file and both.
    """
    if backbone.sha256 is None:
        return
    path = located(backbone.pretrained or "")
    if backbone.model.startswith(FOLDER):
        folder = located(backbone.model.removeprefix(FOLDER))
        if not folder.is_dir():
            return
        path = checkpoint_in(folder)
    if path.is_file():
        proved(path, backbone.sha256)
