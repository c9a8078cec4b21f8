"""A hand-designed network as ``nasgait models`` lists it."""

from collections.abc import Callable
from dataclasses import dataclass

from nasgait.baselines.reported import Reported
from nasgait.nn.base import GaitNetwork


@dataclass(frozen=True)
class Variant:
    """A network with certain settings.  Its file keeps it under its name in ``VARIANTS``."""

    make: Callable[..., GaitNetwork]
    """The class, or a partial of it with other defaults; called with ``num_classes``."""
    summary: str
    """One line for people."""
    reported: tuple[Reported, ...] = ()
    """Published results."""
