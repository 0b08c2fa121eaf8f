"""Checks an open_clip_config.json from elsewhere before anything is built from it.

open_clip takes such a file as it comes: a list for a mapping ends deep in its code, and some keys would run code, ask
the network or draw at random.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from open_clip.constants import HF_CONFIG_NAME
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ulfine.files import read_json
from ulfine.params.base import validated

Interpolation = Literal["bicubic", "bilinear"]  # what torch resizes pictures by, as open_clip's transform does
REFUSED = {
    "bpe_path": "a vocabulary outside of the folder is not kept with it",
    "reduction_mask": "it draws the words that are kept at random, or needs a download",
    "trust_remote_code": "code of others is not run",
}


def _square(size: Any) -> Any:
    sides = size if isinstance(size, list) else [size, size]
    if not (len(sides) == 2 and all(type(side) is int and side > 0 for side in sides) and sides[0] == sides[1]):
        raise ValueError(f"{size!r} is not a side in pixels, nor two that are the same (pictures are square here)")
    return size


def _of_timm(name: str) -> str:
    if ":" in name:
        raise ValueError("must be one of timm.list_models(); every stage would look for a repository or a folder")
    return name


def _harmless(options: dict[str, Any]) -> dict[str, Any]:
    for key, reason in REFUSED.items():
        if options.get(key):
            raise ValueError(f"asks for {key}; {reason}")
    return options


class _Part(BaseModel):
    """Keys that are not named here are open_clip's affair."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)


class _Preprocess(_Part):
    mode: Literal["RGB"] | None = None
    mean: list[float] | None = Field(None, min_length=3, max_length=3)
    std: list[Annotated[float, Field(gt=0)]] | None = Field(None, min_length=3, max_length=3)
    interpolation: Interpolation | None = None


class _Vision(_Part):
    image_size: Annotated[Any, AfterValidator(_square)] = 224
    timm_model_name: Annotated[str, AfterValidator(_of_timm)] | None = None


class _Text(_Part):
    context_length: int = Field(77, ge=1)
    hf_model_name: str | None = None
    hf_tokenizer_name: str | None = None
    output_tokens: bool = False
    tokenizer_kwargs: Annotated[dict[str, Any], AfterValidator(_harmless)] | None = None
    tokenizer_mode: str | None = None


class _Model(_Part):
    embed_dim: int = Field(ge=1)
    init_logit_bias: float | None = None
    quick_gelu: bool = False
    vision_cfg: _Vision
    text_cfg: _Text

    @model_validator(mode="after")
    def _tokens_are_for_captions(self) -> "_Model":
        if self.text_cfg.output_tokens and "multimodal_cfg" not in self.model_extra:
            raise ValueError("text_cfg.output_tokens: needs multimodal_cfg (CoCa); other models give text alone")
        return self


class _File(_Part):
    model_cfg: _Model
    preprocess_cfg: _Preprocess | None = None


def read_configuration(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """model_cfg and preprocess_cfg of an open_clip_config.json, or a model_cfg alone, as open_clip's own files are.

    Raises:
        ValueError: one line that names the file, the key, the value and what is allowed.
    """
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: not a configuration of open_clip ({HF_CONFIG_NAME}: a mapping with embed_dim, …)")
    if "model_cfg" in values:
        validated(_File, values, f"{path}: ")
        return values["model_cfg"], values.get("preprocess_cfg") or {}
    validated(_Model, values, f"{path}: ")
    return values, {}
