"""The hand-designed networks by name."""

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from nasgait.baselines import (
    baseline,
    deepgaitv2,
    gaitbase,
    gaitgl,
    gaitpart,
    gaitset,
    gln,
    hstl,
    selfgait,
)
from nasgait.baselines.variant import Variant
from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitNetwork

VARIANTS: dict[str, Variant] = {
    **gaitset.VARIANTS,
    **gaitbase.VARIANTS,
    **baseline.VARIANTS,
    **gaitpart.VARIANTS,
    **gln.VARIANTS,
    **deepgaitv2.VARIANTS,
    **gaitgl.VARIANTS,
    **hstl.VARIANTS,
    **selfgait.VARIANTS,
}
"""Every network, in the order in which ``nasgait models`` prints them."""


def names() -> list[str]:
    """The names that :func:`build` takes."""
    return list(VARIANTS)


def build(name: str, num_classes: int | None = None, **settings: Any) -> GaitNetwork:
    """A hand-designed network with fresh weights.

    Args:
        name: one of :func:`names`.
        num_classes: identities of the classifier; no neck and no logits without.
        settings: arguments of the network, in place of the variant's.

    Raises:
        ConfigError: an unknown name or setting, or settings that the network cannot be built with.
    """
    if name not in VARIANTS:
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"model {name!r}: {hint}known are {', '.join(names())}")
    make = VARIANTS[name].make
    known = [key for key in inspect.signature(make).parameters if key != "num_classes"]
    strange = [key for key in settings if key not in known]
    if strange:
        raise ConfigError(
            f"model {name!r}: no setting {strange[0]!r}; known are {', '.join(known)}"
        )
    try:
        if settings:
            _try_out(partial(make, num_classes=num_classes, **settings))
        return make(num_classes=num_classes, **settings)
    except (
        ConfigError,
        ArithmeticError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"model {name!r}: cannot be built with {settings}: {reason}") from error


def _try_out(make: Callable[[], GaitNetwork]) -> None:
    """Embed one sequence on the meta device, since some settings only fail in the forward pass."""
    with torch.device("meta"), torch.no_grad():
        network = make().eval()
        network(torch.zeros(1, network.frames, *network.size))
