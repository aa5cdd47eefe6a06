"""The floor of a run, the least time that its work allows on a device.

There are two floors: the multiply-adds at the device's rate for matrix products, and the bytes at its bandwidth. The
work is counted for each operation that PyTorch runs. A compiler that fuses operations moves fewer bytes.
"""

import time
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

from .cases import PRECISIONS
from .jobs import Job

aten = torch.ops.aten
REPEATS = 10


class Work(NamedTuple):
    """Multiply-adds, and bytes that operations read and write."""

    macs: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.macs + other.macs, self.bytes + other.bytes)

    def __sub__(self, other: "Work") -> "Work":
        return Work(self.macs - other.macs, self.bytes - other.bytes)


class Rates(NamedTuple):
    """The measured rates of a device, per second."""

    macs: float
    bytes: float

    def floor(self, work: Work) -> tuple[float, float]:
        """Seconds that the multiply-adds need, and that the bytes need."""
        return work.macs / self.macs, work.bytes / self.bytes


class WorkCounter(TorchDispatchMode):
    """Count the work of all operations in this context; also a clock for ``Marks``."""

    def __init__(self):
        super().__init__()
        self.total = Work()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = _COUNTS.get(func.overloadpacket)
        macs = count(*args, **(kwargs or {}), out_val=out) / 2 if count else 0
        moved = 0 if func.is_view else sum(map(_bytes, tree_leaves((args, kwargs, out))))
        self.total += Work(macs, moved)
        return out

    def read(self) -> Work:
        return self.total

    def between(self, start: Work, end: Work) -> Work:
        return end - start


def _cpu_attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _cpu_attention_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape)


def _convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, _bias: Any, _stride: Any, _padding: Any, _dilation: Any, transposed: bool,
    _output_padding: Any, _groups: int, mask: list[bool], **__: Any,
) -> int:  # fmt: skip
    """The work of the forward pass once for the gradient of the input, and once for that of the weight."""
    forward = (x if transposed else grad).numel() * weight[0].numel()
    return 2 * forward * (mask[0] + mask[1])


_COUNTS = flop_registry | {  # functions that the registry lacks, or counts wrongly for grouped convolutions
    aten.convolution_backward: _convolution_backward,
    aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _cpu_attention_backward,
}


def _bytes(leaf: Any) -> int:
    """The bytes of a tensor; repeated elements of an expanded tensor count once."""
    if not isinstance(leaf, Tensor) or leaf.layout != torch.strided:
        return 0
    return min(leaf.numel() * leaf.element_size(), leaf.untyped_storage().nbytes())


def count_work(job: Job) -> tuple[Work, dict[str, Work]]:
    """The work of one run: in total, and of each part."""
    with WorkCounter() as counter:
        if job.marks:
            job.marks.start(counter)
        job()
    return counter.total, job.marks.split() if job.marks else {}


def measure_rates(device: torch.device, precision: str) -> Rates:
    """The most multiply-adds per second of a large matrix product, and the most bytes per second of a large copy."""
    on_gpu = device.type == "cuda"
    side = 8192 if on_gpu else 2048
    a, b = (torch.randn(side, side, device=device, dtype=getattr(torch, PRECISIONS[precision])) for _ in range(2))
    source = torch.ones((1 << 30 if on_gpu else 1 << 27), device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    product = _best_seconds(device, lambda: torch.mm(a, b))
    copy = _best_seconds(device, lambda: target.copy_(source))
    return Rates(side**3 / product, 2 * source.numel() / copy)


def _best_seconds(device: torch.device, function: Any) -> float:
    """Seconds of the fastest of several calls, after one warm-up call."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])
