"""The hand-designed networks by name."""

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from nasgait.baselines import baseline, gaitpart
from nasgait.baselines.baseline import PlainBaseline
from nasgait.baselines.deepgaitv2 import DeepGaitV2
from nasgait.baselines.gaitbase import GaitBase
from nasgait.baselines.gaitgl import GaitGL
from nasgait.baselines.gaitpart import GaitPart
from nasgait.baselines.gaitset import GaitSet
from nasgait.baselines.gln import GLN
from nasgait.baselines.hstl import HSTL
from nasgait.baselines.selfgait import SelfGait
from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitNetwork


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
    "opengait-baseline": Baseline(
        PlainBaseline, "OpenGait's Baseline with plain convolutions as published for CASIA-B"
    ),
    "opengait-baseline-grew": Baseline(
        partial(PlainBaseline, layers=baseline.GREW, bins=(16,)),
        "OpenGait's Baseline with plain convolutions as published for GREW",
    ),
    "opengait-baseline-hid": Baseline(
        partial(PlainBaseline, layers=baseline.HID, size=(128, 88)),
        "OpenGait's Baseline with plain convolutions as published for HID: frames of 128 x 88",
    ),
    "opengait-baseline-nano": Baseline(
        partial(
            PlainBaseline,
            layers=("BC-8", "BC-8", "M", "BC-24", "BC-24", "M", "BC-48", "BC-48"),
            size=(32, 22),
            bins=(8,),
            embedding=64,
            frames=16,
        ),
        "OpenGait's plain Baseline narrowed to the cost of the nano space; not a published network",
    ),
    "gaitpart": Baseline(GaitPart, "GaitPart (CVPR 2020) as published for CASIA-B"),
    "gaitpart-grew": Baseline(
        partial(GaitPart, layers=gaitpart.GREW, embedding=256),
        "GaitPart as published for OU-MVLP and GREW: a stage more, twice as wide",
    ),
    "gaitpart-nano": Baseline(
        partial(
            GaitPart,
            layers=("BC-8", "BC-8", "M", "FC-24-2", "FC-24-2", "M", "FC-48-2", "FC-48-2"),
            size=(32, 22),
            bins=(8,),
            embedding=64,
            frames=16,
        ),
        "GaitPart narrowed to the cost of the nano space; not a published network",
    ),
    "gln": Baseline(GLN, "GLN (ECCV 2020) as published for CASIA-B: frames of 128 x 88"),
    "gln-64x44": Baseline(
        partial(GLN, size=(64, 44)), "GLN with the published layers on frames of 64 x 44"
    ),
    "gln-nano": Baseline(
        partial(
            GLN,
            channels=(8, 16, 32),
            lateral=32,
            size=(32, 22),
            bins=(8, 4, 2, 1),
            embedding=64,
            compact=64,
            dropout=0.5,
            frames=16,
        ),
        "GLN narrowed to the cost of the nano space; not a published network",
    ),
    "deepgaitv2": Baseline(
        DeepGaitV2, "DeepGaitV2 (2023), pseudo-3D, as published for CASIA-B and OU-MVLP"
    ),
    "deepgaitv2-grew": Baseline(
        partial(DeepGaitV2, layers=(1, 4, 4, 1)),
        "DeepGaitV2, pseudo-3D, as published for GREW and Gait3D: 22 layers",
    ),
    "deepgaitv2-2d": Baseline(
        partial(DeepGaitV2, mode="2d", layers=(1, 4, 4, 1)),
        "DeepGaitV2 of the published depth for GREW and Gait3D, frame by frame",
    ),
    "deepgaitv2-3d": Baseline(
        partial(DeepGaitV2, mode="3d", layers=(1, 4, 4, 1)),
        "DeepGaitV2 of the published depth for GREW and Gait3D, 3-D convolutions",
    ),
    "deepgaitv2-nano": Baseline(
        partial(
            DeepGaitV2,
            channels=(8, 16, 24, 32),
            size=(32, 22),
            bins=(8,),
            embedding=64,
            frames=16,
        ),
        "DeepGaitV2 narrowed to the cost of the nano space; not a published network",
    ),
    "gaitgl": Baseline(GaitGL, "GaitGL (ICCV 2021) as published for CASIA-B"),
    "gaitgl-grew": Baseline(
        partial(GaitGL, channels=(32, 64, 128, 256), layers=2, strips=2),
        "GaitGL as published for OU-MVLP and GREW: twice as deep, local strips four times as high",
    ),
    "gaitgl-grew-bnneck": Baseline(
        partial(GaitGL, channels=(32, 64, 128, 256), layers=2, strips=2, bnneck=True),
        "GaitGL as published for GREW with OpenGait's BNNeck",
    ),
    "gaitgl-nano": Baseline(
        partial(
            GaitGL,
            channels=(8, 12, 16, 24),
            strips=4,
            size=(32, 22),
            parts=32,
            frames=16,
        ),
        "GaitGL narrowed to the cost of the nano space; not a published network",
    ),
    "hstl": Baseline(HSTL, "HSTL (ICCV 2023) as published for CASIA-B"),
    "hstl-oumvlp": Baseline(
        partial(
            HSTL,
            stem=(32, 32),
            stages=((64, 64), (128, 128), (256, 256)),
            regions=((4, 24, 4), (4, 4, 12, 8, 4), (4, 4, 12, 4, 4, 4)),
            pool=True,
        ),
        "HSTL as published for OU-MVLP: a stage more, at half the resolution",
    ),
    "hstl-gait3d": Baseline(
        partial(
            HSTL,
            stem=(32, 32),
            stages=((64, 64), (128, 128), (256, 256)),
            regions=((20, 12), (4, 16, 8, 4), (4, 4, 12, 8, 4)),
            pool=True,
        ),
        "HSTL as published for Gait3D: that of OU-MVLP with other regions",
    ),
    "hstl-nano": Baseline(
        partial(
            HSTL,
            stem=(4,),
            stages=((8, 8), (12, 24)),
            regions=((20, 12), (4, 16, 8, 4)),
            size=(32, 22),
            frames=16,
        ),
        "HSTL narrowed to the cost of the nano space; not a published network",
    ),
    "selfgait": Baseline(
        SelfGait,
        "SelfGait (ICASSP 2021) as published for CASIA-B and OU-MVLP; see nasgait pretrain",
    ),
    "selfgait-nano": Baseline(
        partial(
            SelfGait,
            channels=(8, 16, 48),
            size=(32, 22),
            bins=(1, 2, 4, 8),
            embedding=64,
            spare=False,
            frames=16,
        ),
        "SelfGait narrowed to the cost of the nano space; not a published network",
    ),
}


def names() -> list[str]:
    """The names that :func:`build` knows."""
    return list(BASELINES)


def build(name: str, num_classes: int | None = None, **settings: Any) -> GaitNetwork:
    """A hand-designed network with fresh weights.

    Args:
        name: one of :func:`names`.
        num_classes: identities of the classifier; no neck and no logits without.
        settings: arguments of the network that replace those of the entry.

    Raises:
        ConfigError: an unknown name or setting, or a setting the network cannot be built with.
    """
    if name not in BASELINES:
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"model {name!r}: {hint}known are {', '.join(names())}")
    make = BASELINES[name].make
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
    """Embed one sequence on the meta device: some settings do not go together until then."""
    with torch.device("meta"), torch.no_grad():
        network = make().eval()
        network(torch.zeros(1, network.frames, *network.size))
