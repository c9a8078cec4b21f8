"""Distances between the samples of a batch, with gradients that stay finite."""

import torch
import torch.nn.functional as F
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """As float32, or as float64 where it is; losses are never taken in half precision."""
    return x if x.dtype == torch.float64 else x.float()


def pairwise(x: Tensor) -> Tensor:
    """Euclidean distances [p, n, n] between the rows of x [p, n, c]."""
    # Distances do not depend on the origin; near the middle fewer digits cancel.
    x = x - x.detach().mean(1, keepdim=True)
    square = x.square().sum(2)
    squared = square[:, :, None] + square[:, None, :] - 2 * x @ x.transpose(1, 2)
    # The distance of a sample to itself is rounding noise under a root, whose
    # slope there is huge: it is zero, and so is its gradient.
    squared = squared.masked_fill(itself(x.shape[1], x.device), 0)
    # relu passes no gradient at 0, where the root's is infinite.
    return F.relu(squared).sqrt()


def itself(n: int, device: torch.device) -> Tensor:
    """bool [n, n], true for the pairs of a sample with itself."""
    return torch.eye(n, dtype=torch.bool, device=device)
