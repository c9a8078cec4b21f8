"""First weights of convolutions and norms, as in OpenGait and SPOSGait."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasgait.nn.memory_format import to_channels_last

CONVOLUTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier": nn.init.xavier_uniform_,
    "kaiming": partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"),
    "normal": partial(nn.init.normal_, std=0.001),
}
"""Distributions of the first weights of convolutions; Xavier-uniform is the published one."""


def initialise(model: nn.Module, kind: str = "xavier") -> None:
    """Draw the weights of convolutions and norms from torch's global generator, in place.

    Convolutions start as :data:`CONVOLUTIONS` says, BatchNorm weights from N(1, 0.02), biases
    at 0.  SeparateFCs draw their own weights on construction.  Weights are channels-last in
    memory afterwards, so that no forward pass has to convert them.

    Raises ValueError for an unknown kind.
    """
    if kind not in CONVOLUTIONS:
        raise ValueError(f"initial weights {kind!r}; allowed are {', '.join(CONVOLUTIONS)}")
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            CONVOLUTIONS[kind](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, _BatchNorm):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
    to_channels_last(model)
