"""The hand-designed networks by name."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nasgait.baselines.gaitbase import GaitBase
from nasgait.baselines.gaitset import GaitSet
from nasgait.errors import ConfigError
from nasgait.nn.output import GaitNetwork


@dataclass(frozen=True)
class Baseline:
    """An entry of the registry."""

    make: Callable[..., GaitNetwork]
    """Builds it, given ``num_classes``."""
    summary: str
    """One line for people."""


BASELINES = {
    "gaitset": Baseline(GaitSet, "GaitSet (AAAI 2019) as published for CASIA-B"),
    "gaitset-grew": Baseline(
        partial(GaitSet, channels=(64, 128, 256)),
        "GaitSet as published for OU-MVLP and GREW: twice as wide",
    ),
    "gaitset-nano": Baseline(
        partial(
            GaitSet,
            channels=(8, 16, 48),
            size=(32, 22),
            bins=(8, 4, 2, 1),
            embedding=64,
            frames=16,
        ),
        "GaitSet narrowed to the cost of the nano space; not a published network",
    ),
    "gaitbase": Baseline(
        GaitBase, "GaitBase (OpenGait, CVPR 2023) as published for CASIA-B, OU-MVLP, GREW, Gait3D"
    ),
    "gaitbase-nano": Baseline(
        partial(
            GaitBase,
            channels=(8, 16, 24, 32),
            size=(32, 22),
            bins=(8,),
            embedding=64,
            frames=16,
        ),
        "GaitBase narrowed to the cost of the nano space; not a published network",
    ),
}


def names() -> list[str]:
    """The names that :func:`build` knows."""
    return list(BASELINES)


def build(name: str, num_classes: int | None = None) -> GaitNetwork:
    """A hand-designed network with fresh weights.

    Args:
        name: one of :func:`names`.
        num_classes: identities of the classifier; no neck and no logits without.

    Raises:
        ConfigError: an unknown name.
    """
    if name not in BASELINES:
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"model {name!r}: {hint}known are {', '.join(names())}")
    return BASELINES[name].make(num_classes=num_classes)
