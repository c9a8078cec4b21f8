"""The forward pass of every hand-designed network, and of some searched ones.

Evaluation mode, one sequence of the network's own input by default, on the CPU: float32 as the
network is built, and bfloat16 with channels last, as evaluation can be told to run it.  With
``--published`` the published implementation runs beside them in float32, with the same weights,
input and process, in turn; the tool refuses to time a side whose embeddings differ.

    python tools/benchmarks/forward.py
    python tools/benchmarks/forward.py --models gaitset gaitgl --published /src/OpenGait,/src/SPOSGait

A folder of ``--published`` is a checkout of OpenGait, SPOSGait, HSTL or SelfGait, known by the
files in it, with what it imports installed; no such code comes with nasgait.  HSTL runs only
repaired (tests/reference tells of what).  Each network is timed in a process of its own, so that
the checkouts, whose modules share names, stay apart.
"""

import argparse
import copy
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from nasgait.baselines import baseline, registry
from nasgait.compat import opengait, selfgait
from nasgait.core.memory import keep_freed_memory
from nasgait.core.precision import autocast
from nasgait.nn.memory_format import to_channels_last
from search_spaces import load_space

CLASSES = 74
"""Identities of every classifier: the head for all of GREW would hide the network."""
ARCHITECTURES = (
    "sposgait-small:0-5-5-4",
    "sposgait-small-casiab:0-5-0-1",
    "sposgait-medium:0-0-4-3-0-3-0",
    "sposgait-large:0-0-4-5-2-0-4-3-4-3",
    "sposgait-small:0-0-0-0",
    "sposgait-small:0-3-3-3",
    "nano:0-5-5-5",
)
"""The published ones first."""
CLOSE = 1e-4
"""Largest gap between embeddings of the same weights, of the largest magnitude."""


@dataclass(frozen=True)
class Checkout:
    """How the networks of a published repository are imported."""

    root: str
    """Folder of the sources; a repository that has it and :attr:`package` is this one."""
    package: str
    """Of the networks, below :attr:`root` or the repository."""
    sign: str
    """A file that only this repository has."""


CHECKOUTS = {
    "SPOSGait": Checkout("opengait", "opengait.modeling.models", "opengait/search.py"),
    "OpenGait": Checkout("opengait", "modeling.models", "opengait/modeling/models/deepgaitv2.py"),
    "HSTL": Checkout("lib", "modeling.models", "lib/modeling/models/HSTL-CB.py"),
    "SelfGait": Checkout("", "models.network", "models/network/basic_blocks.py"),
}


@dataclass(frozen=True)
class Published:
    """A published network: where it stands, and which config builds it."""

    checkout: str
    module: str
    config: str | Mapping[str, Any]
    """A file of the checkout, or what it would say."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the config, dotted, that make it this network."""


def plain(layers: tuple[str, ...], bins: tuple[int, ...]) -> dict[str, Any]:
    """The config of OpenGait's plain Baseline, which its repository no longer holds."""
    parts, channels = sum(bins), int(layers[-1].split("-")[1])
    return {
        "data_cfg": {"dataset_name": "CASIA-B"},
        "model_cfg": {
            "model": "Baseline",
            "backbone_cfg": {"type": "Plain", "in_channels": 1, "layers_cfg": list(layers)},
            "bin_num": list(bins),
            "SeparateFCs": {"in_channels": channels, "out_channels": 256, "parts_num": parts},
            "SeparateBNNecks": {"class_num": CLASSES, "in_channels": 256, "parts_num": parts},
        },
    }


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
    "opengait-baseline": Published(
        "OpenGait", "baseline", plain(baseline.CASIA_B, (16, 8, 4, 2, 1))
    ),
    "opengait-baseline-grew": Published("OpenGait", "baseline", plain(baseline.GREW, (16,))),
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
        # Its layers exist for this name alone.
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
    """The three parts of SelfGait's embedding network in a row."""

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
        """As its training saves it."""
        return {f"{name}_state_dict": part.state_dict() for name, part in self.named_children()}


Forward = Callable[[Tensor], Tensor]
"""From silhouettes [n, s, h, w] to embeddings."""


def pair(name: str, folders: list[Path]) -> tuple[nn.Module, list[int] | None, Forward | None]:
    """Our network, the path to run if it is a supernet, and the published one where it is."""
    known, _, text = name.partition(":")
    choices = [int(choice) for choice in text.split("-")] if text else None
    entry = PUBLISHED.get(known)
    folder = next((f for f in folders if entry and is_checkout(f, entry.checkout)), None)
    if entry is None or folder is None:
        if choices is None:
            return registry.build(known, CLASSES), None, None
        return load_space(known).build(choices, CLASSES), None, None
    package = published_package(folder, CHECKOUTS[entry.checkout])
    if entry.checkout == "SelfGait":
        parts = PublishedSelfGait(package).eval()
        return selfgait.load(None, parts.checkpoint()), None, parts
    config = published_config(entry, folder)
    model = published_network(entry, package, config)
    words = {} if choices is None else {"cand": choices}

    def published(x: Tensor) -> Tensor:
        # GaitGL, SPOSGait and HSTL take one sequence at a time.
        outputs = [model(([row[None]], [0], None, None, None), **words) for row in x]
        return torch.cat([output["inference_feat"]["embeddings"] for output in outputs])

    return opengait.load(config, model.state_dict()), choices, published


def is_checkout(folder: Path, name: str) -> bool:
    """Whether the folder holds that repository."""
    return next((n for n, c in CHECKOUTS.items() if (folder / c.sign).exists()), None) == name


def published_package(folder: Path, checkout: Checkout) -> types.ModuleType:
    """The package of a checkout's networks, without its ``__init__``, which imports them all."""
    sys.path[:0] = [str(folder / checkout.root), str(folder)]
    os.chdir(folder)
    below = checkout.package.removeprefix(f"{checkout.root}.").split(".")
    package = types.ModuleType(checkout.package)
    package.__path__ = [str(folder.joinpath(checkout.root, *below))]
    sys.modules[checkout.package] = package
    return package


def published_config(entry: Published, folder: Path) -> dict[str, Any]:
    """The config as a dict, with our number of identities and the entry's changes."""
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
    """The dict and all dicts in it."""
    yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from sections(value)


def published_network(entry: Published, package: types.ModuleType, config: dict) -> nn.Module:
    """The published network with fresh weights, in evaluation mode.

    Only what makes the network is called: the rest of the published constructor asks for
    data, GPUs and a process group.
    """
    module = importlib.import_module(f"{package.__name__}.{entry.module}")
    cls = getattr(module, config["model_cfg"]["model"])
    model: nn.Module = cls.__new__(cls)
    nn.Module.__init__(model)
    model.cfgs = config
    model.build_network(config["model_cfg"])
    return model.eval()


@torch.no_grad()
def times(args: argparse.Namespace) -> dict[str, Any]:
    """Medians of each side for the one network of ``args``, in this process."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    keep_freed_memory()
    (name,) = args.models
    ours, arch, published = pair(name, args.published)
    ours.eval()
    half = to_channels_last(copy.deepcopy(ours))
    words = {} if arch is None else {"arch": arch}
    frames, size = args.frames or ours.frames, ours.size
    x = (torch.rand(args.sequences, frames, *size) > 0.5).float()

    def bfloat16() -> Tensor:
        with autocast(x.device, "bfloat16"):
            return half(x, **words).embeddings

    # With one thread, time on the processor: other work of the machine does not count.
    clock = time.process_time if args.threads == 1 else time.perf_counter
    sides: dict[str, Callable[[], Tensor]] = {
        "float32": lambda: ours(x, **words).embeddings,
        "bfloat16": bfloat16,
    }
    if published is not None:
        check_equal(name, sides["float32"](), published(x))
        sides["published"] = lambda: published(x)
    found: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(args.rounds + 1):
        for side, run in sides.items():
            began = clock()
            run()
            if number:  # the first warms up
                found[side].append(clock() - began)
    row: dict[str, Any] = {"network": name, "frames": frames, "size": list(size)}
    row |= {f"{side}_seconds": statistics.median(taken) for side, taken in found.items()}
    if published is not None:
        for side in ("float32", "bfloat16"):
            ratios = [a / b for a, b in zip(found[side], found["published"], strict=True)]
            row[f"{side}_over_published"] = statistics.median(ratios)
    return row


def check_equal(name: str, ours: Tensor, published: Tensor) -> None:
    """Refuse to compare networks that do not compute the same."""
    if published.shape != ours.shape:
        published = published.transpose(1, 2)  # HSTL and SelfGait give [n, p, c]
    gap = float((ours - published).abs().max() / published.abs().max())
    assert gap <= CLOSE, f"{name}: embeddings differ from the published ones by {gap:.1e}"


def compare(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Time each network in a process of its own."""
    rows = []
    for name in args.models:
        command = [sys.executable, __file__, "--models", name, "--alone"]
        for flag in ("frames", "sequences", "rounds", "threads"):
            if (value := getattr(args, flag)) is not None:
                command += [f"--{flag}", str(value)]
        if args.published:
            command += ["--published", ",".join(map(str, args.published))]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(line(rows[-1]), file=sys.stderr, flush=True)
    return rows


def line(row: Mapping[str, Any]) -> str:
    """A row of the table."""
    height, width = row["size"]
    seconds = (row.get(f"{side}_seconds") for side in ("float32", "bfloat16", "published"))
    cells = [f"{second:.3f}" if second else "" for second in seconds]
    ratio = row.get("float32_over_published")
    cells.append(f"{ratio:.2f}" if ratio else "")
    return f"| {row['network']} | {row['frames']} x {height} x {width} | {' | '.join(cells)} |"


HEAD = (
    "| network | input | float32 s | bfloat16 s | published s | float32 / published |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def main() -> None:
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models", nargs="+", default=[*registry.names(), *ARCHITECTURES], metavar="NAME",
        help="hand-designed networks, or architectures like sposgait-small:0-5-5-4",
    )  # fmt: skip
    parser.add_argument("--published", type=folders, default=[], metavar="DIR[,DIR]")
    parser.add_argument("--frames", type=int, help="default: the network's own")
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        print(json.dumps(times(args)))
        return
    rows = compare(args)
    settings = {"threads": args.threads, "rounds": args.rounds, "sequences": args.sequences}
    if args.json:
        print(json.dumps({**settings, "classes": CLASSES, "networks": rows}))
    else:
        print("\n".join([HEAD, *map(line, rows)]))


def folders(text: str) -> list[Path]:
    """``DIR[,DIR]``, each a checkout that is known."""
    found = [Path(part).resolve() for part in text.split(",")]
    for folder in found:
        if not any(is_checkout(folder, name) for name in CHECKOUTS):
            raise argparse.ArgumentTypeError(
                f"{folder}: no checkout of {', '.join(CHECKOUTS)}; give the folder with its README"
            )
    return found


if __name__ == "__main__":
    main()
