"""How convolutions and norms start, as in OpenGait and SPOSGait."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def initialise(model: nn.Module) -> None:
    """Draw weights from torch's global generator, in place.

    Xavier-uniform convolutions; BatchNorm weights from N(1, 0.02), biases 0.
    The separate FCs of ``nasgait.nn.heads`` draw their own on construction.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, _BatchNorm):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
