"""The published networks, built from a checkout, beside ours with the same weights."""

import importlib
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor, nn

from nasgait.baselines import baseline, registry
from nasgait.compat import opengait, selfgait
from search_spaces import load_space

CLASSES = 74
"""Identities of every classifier; one for all of GREW would dominate the time."""


@dataclass(frozen=True)
class Checkout:
    """How the networks of a published repository are imported."""

    root: str
    """Folder of the sources in the repository."""
    package: str
    """Import path of the networks' package."""
    marker: str
    """A file that only this repository has."""


CHECKOUTS = {
    "SPOSGait": Checkout("opengait", "opengait.modeling.models", "opengait/search.py"),
    "OpenGait": Checkout("opengait", "modeling.models", "opengait/modeling/models/deepgaitv2.py"),
    "HSTL": Checkout("lib", "modeling.models", "lib/modeling/models/HSTL-CB.py"),
    "SelfGait": Checkout("", "models.network", "models/network/basic_blocks.py"),
}


@dataclass(frozen=True)
class Published:
    """A published network: its module, and the config that builds it."""

    checkout: str
    module: str
    config: str | Mapping[str, Any]
    """A file of the checkout, or the config itself."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Config keys to change, dotted, to get this network."""


def _baseline(layers: tuple[str, ...], bins: tuple[int, ...]) -> Published:
    """OpenGait's plain Baseline, whose configs are no longer in its repository."""
    parts, channels = sum(bins), int(layers[-1].split("-")[1])
    config = {
        "data_cfg": {"dataset_name": "CASIA-B"},
        "model_cfg": {
            "model": "Baseline",
            "backbone_cfg": {"type": "Plain", "in_channels": 1, "layers_cfg": list(layers)},
            "bin_num": list(bins),
            "SeparateFCs": {"in_channels": channels, "out_channels": 256, "parts_num": parts},
            "SeparateBNNecks": {"class_num": CLASSES, "in_channels": 256, "parts_num": parts},
        },
    }
    return Published("OpenGait", "baseline", config)


def _opengait(module: str, config: str, **changes: Any) -> Published:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return Published("OpenGait", module, f"configs/{config}.yaml", dotted)


def _sposgait(size: str, config: str) -> Published:
    return Published("SPOSGait", f"SPOSGait_{size}", f"configs/sposgait/retrain/{config}.yaml")


_GREW = "deepgaitv2/DeepGaitV2_grew"
_SMALL = _sposgait("small", "sposgait_small_GREW-train20000id_retrain")
PUBLISHED: dict[str, Published] = {
    "gaitset": _opengait("gaitset", "gaitset/gaitset"),
    "gaitset-grew": _opengait("gaitset", "gaitset/gaitset_GREW"),
    "gaitbase": _opengait("baseline", "gaitbase/gaitbase_da_casiab"),
    "opengait-baseline": _baseline(baseline.CASIA_B, (16, 8, 4, 2, 1)),
    "opengait-baseline-grew": _baseline(baseline.GREW, (16,)),
    "gaitpart": _opengait("gaitpart", "gaitpart/gaitpart"),
    "gaitpart-grew": _opengait("gaitpart", "gaitpart/gaitpart_GREW"),
    "gln": _opengait("gln", "gln/gln_phase1"),
    "gaitgl": _opengait("gaitgl", "gaitgl/gaitgl"),
    "gaitgl-grew": _opengait("gaitgl", "gaitgl/gaitgl_GREW"),
    "gaitgl-grew-bnneck": _opengait("gaitgl", "gaitgl/gaitgl_GREW_BNNeck"),
    "deepgaitv2": _opengait("deepgaitv2", "deepgaitv2/DeepGaitV2_casiab"),
    "deepgaitv2-grew": _opengait("deepgaitv2", _GREW),
    "deepgaitv2-2d": _opengait("deepgaitv2", _GREW, model_cfg__Backbone__mode="2d"),
    "deepgaitv2-3d": _opengait("deepgaitv2", _GREW, model_cfg__Backbone__mode="3d"),
    "hstl": Published("HSTL", "HSTL-CB", "config/hstl.yaml"),
    "hstl-oumvlp": Published("HSTL", "HSTL-OU", "config/hstl_oumvlp.yaml"),
    "hstl-gait3d": Published(
        "HSTL",
        "HSTL-Gait3D",
        "config/hstl_gait3d.yaml",
        # The code builds its layers for this name only.
        {"data_cfg.dataset_name": "OUMVLP"},
    ),
    "selfgait": Published("SelfGait", "gaitset", "config/config.yaml"),
    "sposgait-small": _SMALL,
    "sposgait-small-casiab": _sposgait("small", "sposgait_small_casiab_retrain"),
    "sposgait-medium": _sposgait("medium", "sposgait_medium_GREW-20000id_retrain"),
    "sposgait-large": _sposgait("large", "sposgait_large_GREW-train20000id_retrain"),
}
"""By the name of the network or the search space."""


class PublishedSelfGait(nn.Module):
    """SelfGait's embedding network: its three modules in sequence."""

    def __init__(self, package: Any, channels: int = 128, parts: int = 31) -> None:
        super().__init__()
        blocks = importlib.import_module(f"{package.__name__}.basic_blocks")
        self.online_network = importlib.import_module(f"{package.__name__}.gaitset").SetNet(
            channels
        )
        self.conv_trans = blocks.MCM_NOTP(channels, channels, p=parts, div=4)
        self.TP_1 = blocks.TP_FULL(channels)

    def forward(self, silhouettes: Tensor) -> Tensor:
        """Map silhouettes [n, s, h, w] to embeddings [n, p, c]."""
        embeddings: Tensor = self.TP_1(self.conv_trans(self.online_network(silhouettes)))
        return embeddings

    def checkpoint(self) -> dict[str, Any]:
        """The state dicts as SelfGait's training saves them."""
        return {f"{name}_state_dict": part.state_dict() for name, part in self.named_children()}


Forward = Callable[[Tensor], Tensor]
"""From silhouettes [n, s, h, w] to embeddings."""


class Pair(NamedTuple):
    """Two implementations of one network with the same weights."""

    ours: nn.Module
    arch: list[int] | None
    """The path to run, where ours is a supernet."""
    published: Forward | None
    """None where no checkout has it."""


def load_pair(name: str, folders: list[Path]) -> Pair:
    """Build a network of ours and, from the first checkout that has it, the published one.

    Args:
        name: a hand-designed network, or an architecture such as ``sposgait-small:0-5-5-4``.
        folders: checkouts of published repositories.
    """
    known, _, text = name.partition(":")
    choices = [int(choice) for choice in text.split("-")] if text else None
    entry = PUBLISHED.get(known)
    folder = next((f for f in folders if entry and is_checkout(f, entry.checkout)), None)
    if entry is None or folder is None:
        if choices is None:
            return Pair(registry.build(known, CLASSES), None, None)
        return Pair(load_space(known).build(choices, CLASSES), None, None)
    package = published_package(folder, CHECKOUTS[entry.checkout])
    if entry.checkout == "SelfGait":
        selfgait_network = PublishedSelfGait(package).eval()
        return Pair(selfgait.load(None, selfgait_network.checkpoint()), None, selfgait_network)
    config = published_config(entry, folder)
    model = published_network(entry, package, config)
    path = {} if choices is None else {"cand": choices}

    def published(x: Tensor) -> Tensor:
        # GaitGL, SPOSGait and HSTL take one sequence at a time.
        outputs = [model(([row[None]], [0], None, None, None), **path) for row in x]
        return torch.cat([output["inference_feat"]["embeddings"] for output in outputs])

    return Pair(opengait.load(config, model.state_dict()), choices, published)


def is_checkout(folder: Path, name: str) -> bool:
    """Whether the folder is a checkout of that repository."""
    return next((n for n, c in CHECKOUTS.items() if (folder / c.marker).exists()), None) == name


def published_package(folder: Path, checkout: Checkout) -> types.ModuleType:
    """Import the package of a checkout's networks, but not its ``__init__``, which imports all."""
    sys.path[:0] = [str(folder / checkout.root), str(folder)]
    os.chdir(folder)
    below = checkout.package.removeprefix(f"{checkout.root}.").split(".")
    package = types.ModuleType(checkout.package)
    package.__path__ = [str(folder.joinpath(checkout.root, *below))]
    sys.modules[checkout.package] = package
    return package


def published_config(entry: Published, folder: Path) -> dict[str, Any]:
    """The config as a dict, with :data:`CLASSES` identities and the entry's changes."""
    text = (folder / entry.config).read_text() if isinstance(entry.config, str) else ""
    config: dict[str, Any] = yaml.safe_load(text) if text else dict(entry.config)
    for section in sections(config):
        if "class_num" in section:
            section["class_num"] = CLASSES
    for path, value in entry.changes.items():
        *above, key = path.split(".")
        here = config
        for step in above:
            here = here[step]
        here[key] = value
    return config


def sections(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The dict itself and all dicts in it."""
    yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from sections(value)


def published_network(entry: Published, package: types.ModuleType, config: dict) -> nn.Module:
    """The published network with random weights, in evaluation mode.

    Only its ``build_network`` is called: the rest of the published constructor needs data, GPUs
    and a process group.
    """
    module = importlib.import_module(f"{package.__name__}.{entry.module}")
    cls = getattr(module, config["model_cfg"]["model"])
    model: nn.Module = cls.__new__(cls)
    nn.Module.__init__(model)
    model.cfgs = config
    model.build_network(config["model_cfg"])
    return model.eval()
