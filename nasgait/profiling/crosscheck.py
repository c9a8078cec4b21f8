"""What thop and fvcore count in a network, and why each differs from the exact count.

Papers' tables often use them.  They count MACs (fvcore calls them flops), but add
operations for BatchNorm, and thop misses matrix products with an ``nn.Parameter``,
such as the separate FCs that end most gait networks.
"""

import contextlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitNetwork
from nasgait.nn.norm import BatchNorm
from nasgait.profiling.macs import Profile, embedding_network

_MODULES = (nn.Conv2d, nn.Conv3d, nn.Linear, BatchNorm)


@dataclass(frozen=True)
class Difference:
    """One reason why a tool's number differs from ours."""

    amount: int
    """What the tool adds to our number; negative for what it misses."""
    reason: str
    """Why."""


@dataclass(frozen=True)
class Check:
    """A tool's numbers beside ours; each equals ours plus its differences."""

    tool: str
    """``thop`` or ``fvcore``."""
    macs: int
    """MACs that the tool reports for one sequence."""
    params: int
    """Parameters that the tool reports."""
    macs_differences: tuple[Difference, ...]
    """Sum to the tool's MACs minus ours."""
    params_differences: tuple[Difference, ...]
    """Sum to the tool's params minus ours."""


def crosscheck(model: GaitNetwork, exact: Profile, tools: list[str]) -> list[Check]:
    """Run the named tools on the embedding network at the profile's frames and size.

    Raises:
        ConfigError: an unknown tool.
    """
    unknown = [tool for tool in tools if tool not in TOOLS]
    if unknown:
        raise ConfigError(f"--check: unknown tool {unknown[0]!r}; allowed: {', '.join(TOOLS)}")
    bare = embedding_network(model)
    return [TOOLS[tool](bare, exact) for tool in tools]


def _thop(bare: GaitNetwork, exact: Profile) -> Check:
    import thop
    from thop.vision.basic_hooks import count_convNd, count_normalization

    # thop looks at the exact type; with ours named, it counts as in a published network.
    model = embedding_network(bare).to("meta")
    convolutions = {type(m) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)}
    known = {BatchNorm: count_normalization, **dict.fromkeys(convolutions, count_convNd)}
    x = torch.zeros(1, exact.frames, *exact.size, device="meta")
    macs, params = thop.profile(model, (x,), custom_ops=known, verbose=False)
    elements = _norm_elements(bare, exact)
    unseen_macs, unseen_params = _outside(bare, exact)
    return Check(
        "thop",
        int(macs),
        int(params),
        _explain(
            int(macs) - exact.macs,
            Difference(-unseen_macs, "matrix products with an nn.Parameter are not seen"),
            Difference(4 * elements, f"BatchNorm: 4 for each of {elements:,} elements"),
        ),
        _explain(
            int(params) - exact.params,
            Difference(-unseen_params, "only those of convolutions, linear layers and norms count"),
        ),
    )


def _fvcore(bare: GaitNetwork, exact: Profile) -> Check:
    from fvcore.nn import FlopCountAnalysis, parameter_count

    for name in ("fvcore.nn.jit_analysis", "fvcore.nn.jit_handles"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # The weights do not matter, and a network on the meta device has none.
    model = _Embeddings(embedding_network(bare).to_empty(device="cpu"))
    x = torch.zeros(1, exact.frames, *exact.size)
    with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
        counts = FlopCountAnalysis(model, x).by_operator()
    macs, params = int(sum(counts.values())), int(parameter_count(model)[""])
    elements = _norm_elements(bare, exact)
    return Check(
        "fvcore",
        macs,
        params,
        _explain(
            macs - exact.macs,
            Difference(2 * elements, f"BatchNorm: 2 for each of {elements:,} elements"),
        ),
        _explain(params - exact.params),
    )


TOOLS: dict[str, Callable[[GaitNetwork, Profile], Check]] = {"thop": _thop, "fvcore": _fvcore}


class _Embeddings(nn.Module):
    """The network with plain tensors as output, for tracing."""

    def __init__(self, model: GaitNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings [n, c, p] of silhouettes [n, s, h, w]."""
        embeddings: Tensor = self.model(x).embeddings
        return embeddings


def _explain(gap: int, *reasons: Difference) -> tuple[Difference, ...]:
    """The reasons that apply, and what they leave unexplained."""
    rest = gap - sum(reason.amount for reason in reasons)
    known = [reason for reason in reasons if reason.amount]
    return (*known, Difference(rest, "not explained")) if rest else tuple(known)


def _outside(bare: GaitNetwork, exact: Profile) -> tuple[int, int]:
    """MACs and params of modules that thop does not know."""
    others = {name for name, m in bare.named_modules() if not isinstance(m, _MODULES)}
    unseen = [layer for layer in exact.layers if layer.name in others]
    return sum(layer.macs for layer in unseen), sum(layer.params for layer in unseen)


def _norm_elements(bare: GaitNetwork, exact: Profile) -> int:
    """Elements that enter the BatchNorms for one sequence."""
    model, total = embedding_network(bare).to("meta"), 0

    def count(_: nn.Module, inputs: Any) -> None:
        nonlocal total
        total += inputs[0].numel()

    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.register_forward_pre_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, exact.frames, *exact.size, device="meta"))
    return total
