"""Each convolution of the SPOSGait spaces in every form that computes it: time, share, error.

A form maps x [n, c, s, h, w] and weight [out, c, t, kh, kw] to [n, out, s, h, w], same padding:

- ``conv3d``: contiguous, channels outermost;
- ``conv3d_last``: channels last, innermost;
- ``view_2d``: channels innermost, as a 2-D convolution of frames (kernel 1 x k x k) or over frames
  and pixels (t x 1 x 1), without a copy;
- ``matmul``: 1 x 1 x 1 as a product of matrices;
- ``frames_as_channels``: the frames under the kernel laid side by side as channels, then in 2-D;
- ``nasgait``: the project's own layer, where the input has one channel;
- ``unfold``: the pixels under the kernel as rows of a matrix, for one input channel.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_parts.machine import Task, milliseconds
from nasgait.kernels.convolution import Conv3d
from search_spaces import load_space

Form = Callable[[Tensor, Tensor], Tensor]

SEQUENCES = 128
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Shape:
    """One convolution: kernel t x h x w over [in, s, h, w]."""

    channels: int
    out: int
    frames: int
    height: int
    width: int
    kernel: tuple[int, int, int]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sequence."""
        t, kh, kw = self.kernel
        positions = self.frames * self.height * self.width
        return positions * self.channels * self.out * t * kh * kw

    def bytes(self, itemsize: int, sequences: int) -> int:
        """Least memory traffic of a pass: input and output once."""
        positions = sequences * self.frames * self.height * self.width
        return positions * (self.channels + self.out) * itemsize

    def __str__(self) -> str:
        kernel = "x".join(map(str, self.kernel))
        return f"{self.channels}->{self.out} {kernel} {self.frames}x{self.height}x{self.width}"


def shapes(names: tuple[str, ...]) -> list[Shape]:
    """The stride-1 convolutions of these spaces, in order of memory traffic, most first."""
    found: set[Shape] = set()

    def note(conv: nn.Conv3d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0]
        if conv.stride == (1, 1, 1):
            found.add(Shape(conv.in_channels, conv.out_channels, *x.shape[2:], conv.kernel_size))

    for name in names:
        space = load_space(name)
        with torch.device("meta"):
            model = space.supernet()
            x = torch.empty(1, space.frames, *space.size)
        for module in model.modules():
            if isinstance(module, nn.Conv3d):
                module.register_forward_hook(note)
        for choice in range(max(space.choices)):
            model(x, arch=[min(choice, count - 1) for count in space.choices])
    return sorted(found, key=lambda shape: -shape.bytes(2, 1))


def conv3d(x: Tensor, weight: Tensor) -> Tensor:
    """In three dimensions."""
    return F.conv3d(x, weight, padding=[side // 2 for side in weight.shape[2:]])


def view_2d(x: Tensor, weight: Tensor) -> Tensor:
    """A kernel of one frame, or of one pixel, in two dimensions."""
    t, kh, kw = weight.shape[2:]
    if t == 1:
        images = x.transpose(1, 2).flatten(0, 1)
        y = F.conv2d(images, weight[:, :, 0], padding=(kh // 2, kw // 2))
        return y.unflatten(0, (len(x), -1)).transpose(1, 2)
    y = F.conv2d(x.flatten(3), weight[..., 0], padding=(t // 2, 0))
    return y.unflatten(3, x.shape[3:])


def matmul(x: Tensor, weight: Tensor) -> Tensor:
    """A kernel of one pixel and frame as a matrix product."""
    return F.linear(x.movedim(1, -1), weight.flatten(1)).movedim(-1, 1)


def frames_as_channels(x: Tensor, weight: Tensor) -> Tensor:
    """The frames under the kernel side by side as channels."""
    t, kh, kw = weight.shape[2:]
    n, _, s, h, w = x.shape
    rows = F.pad(x.movedim(1, -1), (0, 0, 0, 0, 0, 0, t // 2, t // 2))
    windows = torch.cat([rows[:, i : i + s] for i in range(t)], dim=-1)
    images = windows.flatten(0, 1).permute(0, 3, 1, 2)
    flat = weight.movedim(2, 1).flatten(1, 2)
    y = F.conv2d(images, flat, padding=(kh // 2, kw // 2))
    return y.permute(0, 2, 3, 1).view(n, s, h, w, -1).movedim(-1, 1)


def as_in_nasgait(x: Tensor, weight: Tensor) -> Tensor:
    """By the project's own layer."""
    with torch.device("meta"):
        layer = Conv3d(weight.shape[1], weight.shape[0], tuple(weight.shape[2:]))
    return layer(x, weight)


def unfold(x: Tensor, weight: Tensor) -> Tensor:
    """One input channel: the pixels under the kernel as rows."""
    t, kh, kw = weight.shape[2:]
    padding = (kw // 2, kw // 2, kh // 2, kh // 2, t // 2, t // 2)
    windows = F.pad(x[:, 0], padding).unfold(1, t, 1).unfold(2, kh, 1).unfold(3, kw, 1)
    return F.linear(windows.flatten(4), weight.flatten(1)).movedim(-1, 1)


def forms(shape: Shape) -> dict[str, tuple[Form, torch.memory_format]]:
    """The forms that can compute a shape, each with the memory format of its inputs."""
    last = torch.channels_last_3d
    found: dict[str, tuple[Form, torch.memory_format]] = {
        "conv3d": (conv3d, torch.contiguous_format),
        "conv3d_last": (conv3d, last),
    }
    t, kh, kw = shape.kernel
    if t == 1 or (kh, kw) == (1, 1):
        found["view_2d"] = (view_2d, last)
    if shape.kernel == (1, 1, 1):
        found["matmul"] = (matmul, last)
    if t > 1 and shape.channels > 1:
        found["frames_as_channels"] = (frames_as_channels, last)
    if shape.channels == 1:
        found["nasgait"] = (as_in_nasgait, last)
        found["unfold"] = (unfold, last)
    return found


def operands(
    shape: Shape,
    sequences: int,
    dtype: torch.dtype,
    form: torch.memory_format,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor]:
    """Input, weight and the gradient of the output, at random."""
    area = (shape.frames, shape.height, shape.width)

    def draw(*size: int) -> Tensor:
        return torch.randn(size, device=device, dtype=dtype).contiguous(memory_format=form)

    x = draw(sequences, shape.channels, *area).requires_grad_()
    weight = draw(shape.out, shape.channels, *shape.kernel).requires_grad_()
    return x, weight, draw(sequences, shape.out, *area)


def passes(form: Form, x: Tensor, weight: Tensor, dy: Tensor) -> Iterator[tuple[str, Any]]:
    """Forward pass and both gradients, each as a call that gives its result."""
    y = form(x, weight)
    yield "forward", lambda: form(x.detach(), weight.detach())
    for name, of in (("grad_input", x), ("grad_weight", weight)):
        if name == "grad_input" and x.shape[1] == 1:
            continue  # silhouettes get no gradient
        yield name, lambda of=of: torch.autograd.grad(y, of, dy, retain_graph=True)[0]


class Reference:
    """Each pass of a shape in float64, for one sequence rounded to the lower type."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: torch.device) -> None:
        self.inputs = operands(shape, 1, dtype, torch.channels_last_3d, device)
        wide = [tensor.detach().double().requires_grad_() for tensor in self.inputs]
        with cudnn_autotune(False):
            self.wanted = {name: call() for name, call in passes(conv3d, *wide)}

    def errors(self, form: Form, layout: torch.memory_format) -> dict[str, float]:
        """Relative error of each pass of a form."""
        few = [x.detach().contiguous(memory_format=layout) for x in self.inputs]
        few = [x.requires_grad_() for x in few]
        found = {}
        for name, call in passes(form, *few):
            gap = call().double() - self.wanted[name]
            found[name] = float(gap.norm() / self.wanted[name].norm())
        return found


@contextmanager
def cudnn_autotune(on: bool) -> Iterator[None]:
    """Set whether cuDNN tries all its algorithms for each new shape."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = on
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def measured_convolutions(task: Task) -> dict[str, Any]:
    """A row for each shape, form and type, and the shapes that there was no time for."""
    spaces = ("nano",) if task.small else ("sposgait-large", "sposgait-small")
    sequences = 2 if task.small else SEQUENCES
    peaks = {name: task.limits[f"{name}_flops"] for name in DTYPES}
    rows, left_out = [], []
    pending = [
        (name, shape) for name in DTYPES for shape in shapes(spaces)[: 4 if task.small else None]
    ]
    for name, shape in pending:
        if not task.time_left() or (name == "float16" and task.device.type == "cpu"):
            left_out.append(f"{shape} {name}")
            continue
        reference = Reference(shape, DTYPES[name], task.device)
        for form, (compute, layout) in forms(shape).items():
            if name == "float16" and form not in ("conv3d_last", "view_2d"):
                continue
            row = {"shape": str(shape), "macs": shape.macs, "dtype": name, "form": form}
            try:
                with cudnn_autotune(True):
                    row |= measured(compute, shape, DTYPES[name], layout, sequences, task)
                    row["error"] = reference.errors(compute, layout)
            except RuntimeError as fault:
                row["failed"] = str(fault)[:300]
            row |= shares(row, shape, sequences, peaks[name], task)
            rows.append(row)
        if task.device.type == "cuda":
            torch.cuda.empty_cache()
    return {"sequences": sequences, "rows": rows, "left_out": left_out}


def measured(
    compute: Form,
    shape: Shape,
    dtype: torch.dtype,
    layout: torch.memory_format,
    sequences: int,
    task: Task,
) -> dict[str, Any]:
    """Milliseconds of each pass, and the seconds that all took, trying algorithms included."""
    began = time.perf_counter()
    tensors = operands(shape, sequences, dtype, layout, task.device)
    found: dict[str, Any] = {"ms": {}}
    for name, call in passes(compute, *tensors):
        found["ms"][name] = milliseconds(call, task.device, repeats=3, warm_up=2)
    found["seconds"] = time.perf_counter() - began
    return found


def shares(
    row: dict[str, Any], shape: Shape, sequences: int, peak: float, task: Task
) -> dict[str, Any]:
    """How much of the machine each pass reached: its floor over its time."""
    if "ms" not in row:
        return {}
    arithmetic = 2 * shape.macs * sequences / peak
    traffic = shape.bytes(2, sequences) / task.limits["copy_bytes_per_second"]
    floor = 1000 * max(arithmetic, traffic)
    return {
        "floor_ms": floor,
        "bound": "arithmetic" if arithmetic > traffic else "memory",
        "share": {name: floor / spent for name, spent in row["ms"].items()},
    }


def table(found: dict[str, Any]) -> list[str]:
    """The fastest form of each shape beside channels-last 3-D."""
    lines = [
        f"{'shape':34}{'dtype':10}{'best form':20}{'fwd/dx/dw ms':>24}{'share':>7}{'vs last':>9}"
    ]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in found["rows"]:
        if "ms" in row:
            groups.setdefault((row["shape"], row["dtype"]), []).append(row)
    for (shape, dtype), rows in groups.items():
        best = min(rows, key=lambda row: sum(row["ms"].values()))
        plain = next(row for row in rows if row["form"] == "conv3d_last")
        total = sum(best["ms"].values())
        spent = "/".join(f"{ms:.2f}" for ms in best["ms"].values())
        share = best["floor_ms"] * len(best["ms"]) / total
        gain = sum(plain["ms"].values()) / total
        lines.append(f"{shape:34}{dtype:10}{best['form']:20}{spent:>24}{share:7.0%}{gain:9.2f}")
    return [*lines, f"left out for want of time: {len(found['left_out'])}"]
