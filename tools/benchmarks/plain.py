"""Networks as plain torch makes them: its own modules, float32, contiguous."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.kernels.convolution import Conv3d
from nasgait.nn.memory_format import to_channels_first
from nasgait.nn.norm import BatchNorm
from search_spaces.network import ChoiceNetwork, ChoiceUnit, Clip


class PlainNorm(nn.BatchNorm3d):
    """torch's BatchNorm with the call of ours."""

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalise; nothing is padded here."""
        return super().forward(x)

    def measure(self, inputs: list[Tensor]) -> None:
        """Take the moments over all positions of all inputs."""
        count = sum(x[:, 0].numel() for x in inputs)
        dims = (0, 2, 3, 4)
        mean = sum((x.sum(dims) for x in inputs), torch.zeros(())) / count
        squares = ((x - mean.view(1, -1, 1, 1, 1)).square().sum(dims) for x in inputs)
        self.running_mean, self.running_var = mean, sum(squares, torch.zeros(())) / count


class PlainUnit(ChoiceUnit):
    """A unit with torch's own ReLU and pooling, in the published order."""

    def close(self, clip: Clip, in_place: bool = False) -> Clip:
        """Apply all that follows the block."""
        x = self.finish(clip.x if clip.shortcut is None else clip.x + clip.shortcut)
        return clip._replace(x=x, shortcut=None)

    def finish(self, x: Tensor) -> Tensor:
        """Apply all that follows the sum with the shortcut."""
        x = F.relu(x) if self.relu else x
        x = F.max_pool3d(x, (1, 2, 2)) if self.pool else x
        return x if self.aggregation is None else self.aggregation(x)[0]


PLAIN: dict[type, type] = {BatchNorm: PlainNorm, Conv3d: nn.Conv3d, ChoiceUnit: PlainUnit}


def make_plain(model: ChoiceNetwork) -> ChoiceNetwork:
    """Turn every module into torch's own, channels outermost; the weights stay."""
    for module in model.modules():
        module.__class__ = PLAIN.get(type(module), type(module))
    return to_channels_first(model)
