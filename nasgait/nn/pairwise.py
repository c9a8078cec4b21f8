"""Distances between the samples of a batch, with gradients that stay finite."""

import torch
import torch.nn.functional as F
from torch import Tensor


def pairwise(x: Tensor) -> Tensor:
    """Euclidean distances [p, n, n] between the rows of x [p, n, c]."""
    # Distances do not depend on the origin; near the middle fewer digits cancel.
    x = x - x.detach().mean(1, keepdim=True)
    square = x.square().sum(2)
    squared = square[:, :, None] + square[:, None, :] - 2 * x @ x.transpose(1, 2)
    # The distance of a sample to itself would be the root of rounding noise, with a huge
    # gradient; both are set to zero.
    squared = squared.masked_fill(self_pairs(x.shape[1], x.device), 0)
    # relu passes no gradient at 0, where that of the root is infinite.
    return F.relu(squared).sqrt()


def self_pairs(n: int, device: torch.device) -> Tensor:
    """Bool [n, n], True for the pairs of a sample with itself."""
    return torch.eye(n, dtype=torch.bool, device=device)
