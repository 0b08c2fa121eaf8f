"""Operators of the pretended device: each runs its CPU kernel on the same bytes, and what a GPU would mind is noted."""

import ctypes
import traceback
from collections import Counter

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten

from tests.helpers.unhurried import WAITS, name_of

aten = torch.ops.aten


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# run by torch itself: they look at sizes and addresses alone
NATIVE = names(
    "empty empty_like new_empty empty_strided new_empty_strided _unsafe_view lift_fresh record_stream is_pinned set_ "
    "_pin_memory resize_ sym_size is_same_size is_set_to"
)
# have no deterministic form on CUDA (torch.use_deterministic_algorithms, and alertNotDeterministic in torch's sources)
UNSTABLE = names(
    "_adaptive_avg_pool2d_backward adaptive_max_pool2d_backward max_pool2d_with_indices_backward "
    "upsample_bilinear2d_backward upsample_bicubic2d_backward upsample_nearest2d_backward "
    "_upsample_bilinear2d_aa_backward _upsample_bicubic2d_aa_backward reflection_pad2d_backward "
    "replication_pad2d_backward nll_loss2d_forward nll_loss2d_backward ctc_loss _embedding_bag_dense_backward put_ "
    "histc bincount kthvalue median grid_sampler_2d_backward scatter_reduce index_reduce_ masked_scatter_backward "
    "_scaled_dot_product_cudnn_attention_backward"
)
CPU_ATTENTION = aten._scaled_dot_product_flash_attention_for_cpu
CPU_ATTENTION_BACKWARD = aten._scaled_dot_product_flash_attention_for_cpu_backward


class PretendedCuda(TorchDispatchMode):
    """`noted` counts (kind, operator, type or size, where): waits, pageable copies, unstable operators, attention.

    An operator that mixes devices raises an error, as on a GPU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.noted: Counter[tuple[str, str, str, str]] = Counter()
        self.pinned: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, name_of(function)
        flat, _ = tree_flatten((args, kwargs))
        device = None if kwargs.get("device") is None else torch.device(kwargs["device"]).type
        on_device = [x for x in flat if isinstance(x, Tensor) and x.is_cuda]
        if not on_device and device != "cuda":
            found = function(*args, **kwargs)
            if name in ("pin_memory", "_pin_memory"):
                self.pinned.add(found.untyped_storage().data_ptr())
            return found
        # operators on tensors of inference come here whole
        if name != "scaled_dot_product_attention" and function._can_decompose():
            with self:
                found = function.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        if name in NATIVE or function.is_view:
            return function(*args, **kwargs)
        if name == "_to_copy":
            return self._copied(args[0], device or args[0].device.type, function, args, kwargs)
        self._look_at(name, args, flat)
        return self._run(function, name, args, kwargs)

    def _copied(self, source: Tensor, target: str, function, args, kwargs) -> Tensor:
        size = source.numel() * source.element_size()
        if target != source.device.type == "cuda":
            self._note("waits", "copy to the CPU")
        elif target != source.device.type and source.untyped_storage().data_ptr() not in self.pinned:
            self._note("pageable", "copy to the device", "large" if size > 65536 else "small")
        options = {key: value for key, value in kwargs.items() if key != "pin_memory"} | {"device": "cpu"}
        found = function(_host(source) if source.is_cuda else source, *args[1:], **options)
        return _up(found) if target == "cuda" else found

    def _look_at(self, name: str, args: tuple, flat: list) -> None:
        plain = [x for x in flat if isinstance(x, Tensor) and not x.is_cuda and x.dim()]
        if name == "copy_" and args[0].device != args[1].device:
            self._note("pageable" if args[0].is_cuda else "waits", name, "small")
        elif plain and name not in ("index", "index_put_", "_index_put_impl_"):
            raise RuntimeError(f"{name}: tensors on two devices: {[tuple(x.shape) for x in plain]} are on the CPU")
        elif plain:
            self._note("waits", name, "index on the CPU")
        masks = args[1] if name == "index" else []
        if name in WAITS or any(isinstance(x, Tensor) and x.dtype == torch.bool for x in masks):
            self._note("waits", name)
        kind = str(next((x.dtype for x in flat if isinstance(x, Tensor)), ""))
        if name in UNSTABLE or (name == "cumsum" and "float" in kind):
            self._note("unstable", name, kind)
        if name.startswith("_scaled_dot_product") and not name.endswith("backward"):
            self._note("attention", name, kind)

    def _run(self, function, name: str, args: tuple, kwargs: dict):
        flat, spec = tree_flatten((args, kwargs))
        hosts = [_host(x) if isinstance(x, Tensor) and x.is_cuda else x for x in flat]
        same = {id(host): x for host, x in zip(hosts, flat, strict=True) if host is not x}
        hosts = [torch.device("cpu") if isinstance(x, torch.device) else x for x in hosts]
        args, kwargs = tree_unflatten(hosts, spec)
        kwargs.pop("pin_memory", None)
        result = SPECIAL[name](args, kwargs) if name in SPECIAL else function(*args, **kwargs)
        found, shape = tree_flatten(result)
        made = [_up(x) if isinstance(x, Tensor) and id(x) not in same else same.get(id(x), x) for x in found]
        return tree_unflatten(made, shape)

    def _note(self, kind: str, what: str, detail: str = "") -> None:
        frames = [frame for frame in traceback.extract_stack() if "/ulfine/" in frame.filename]
        where = f"{frames[-1].filename.rsplit('/ulfine/', 1)[1]} {frames[-1].name}" if frames else "torch"
        self.noted[kind, what, detail, where] += 1


def _host(x: Tensor) -> Tensor:
    """The same bytes as a tensor of the CPU."""
    storage = x.untyped_storage()
    size = storage.nbytes()
    if not size:
        return torch.empty_strided(x.size(), x.stride(), dtype=x.dtype)
    content = np.frombuffer((ctypes.c_char * size).from_address(storage.data_ptr()), np.uint8)
    bytes_ = torch.from_numpy(content).untyped_storage()
    return torch.empty(0, dtype=x.dtype).set_(bytes_, x.storage_offset(), x.size(), x.stride())


def _up(x: Tensor) -> Tensor:
    """A copy on the device."""
    found = torch.empty_strided(x.size(), x.stride(), dtype=x.dtype, device="cuda:0")
    start = x.storage_offset() * x.element_size()
    size = min(found.untyped_storage().nbytes(), x.untyped_storage().nbytes() - start)
    if size > 0:
        ctypes.memmove(found.untyped_storage().data_ptr(), x.untyped_storage().data_ptr() + start, size)
    return found


def _attention(args, kwargs):
    query, keys, values = args[:3]
    mask = args[3] if len(args) > 3 and isinstance(args[3], Tensor) else None
    found, log = CPU_ATTENTION(query, keys, values, 0.0, False, attn_mask=mask, scale=kwargs.get("scale"))
    return found, log, query.shape[2]


def _flash(args, kwargs):
    found, log, length = _attention(args[:3], kwargs)
    seed = torch.zeros(2, dtype=torch.uint64), torch.zeros((), dtype=torch.uint64)
    return found, log, None, None, length, length, *seed, torch.empty(0)


def _efficient(args, kwargs):
    found, log, _ = _attention(args, kwargs)
    return found, log, torch.zeros((), dtype=torch.int64), torch.zeros((), dtype=torch.int64)


def _flash_backward(args, kwargs):
    return CPU_ATTENTION_BACKWARD(*args[:6], 0.0, False, attn_mask=None, scale=kwargs.get("scale"))


def _efficient_backward(args, kwargs):
    gradient, query, keys, values, bias, found, log = args[:7]
    options = {"attn_mask": bias, "scale": kwargs.get("scale")}
    return *CPU_ATTENTION_BACKWARD(gradient, query, keys, values, found, log, 0.0, False, **options), None


def _batch_norm(args, __):
    return *aten.native_batch_norm(*args), torch.empty(0, dtype=torch.uint8)


def _batch_norm_backward(args, __):
    x, gradient, weight, mean, variance, saved_mean, saved_deviation, epsilon, _ = args
    rest = (mean, variance, saved_mean, saved_deviation, True, epsilon, [True, True, True])
    return aten.native_batch_norm_backward(gradient, x, weight, *rest)


SPECIAL = {  # operators that only a GPU has
    "_scaled_dot_product_flash_attention": _flash,
    "_scaled_dot_product_flash_attention_backward": _flash_backward,
    "_scaled_dot_product_efficient_attention": _efficient,
    "_scaled_dot_product_efficient_attention_backward": _efficient_backward,
    "cudnn_batch_norm": _batch_norm,
    "cudnn_batch_norm_backward": _batch_norm_backward,
}
