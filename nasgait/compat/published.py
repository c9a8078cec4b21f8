"""What a published config and checkpoint mean here, and weights under their new names."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nasgait.baselines import registry
from nasgait.config.load import validate
from nasgait.core.errors import CheckpointError, ConfigError
from nasgait.nn.base import GaitNetwork
from search_spaces.space import SearchSpace
from search_spaces.spec import SpaceSpec

Config = Mapping[str, Any]
"""A published YAML file: ``data_cfg``, ``model_cfg``, ..."""
State = Mapping[str, Tensor]
Rules = Sequence[tuple[str, str]]
"""Patterns for the beginning of a published name, each with what stands for it here."""

NECK: Rules = ((r"BNNecks\.bn1d\.", "neck.norm."), (r"BNNecks\.fc_bin", "neck.fc_bin"))
"""SeparateBNNecks, the same in all networks that have it."""

_LISTED = 8
"""Names of each group that an error spells out."""


@dataclass(frozen=True)
class Published:
    """A published network: how it is built here, and how its weights are called."""

    rules: Rules
    """From published names to ours; the first that fits a name holds."""
    num_classes: int | None
    """Identities of the classifier; None without one."""
    model: str | None = None
    """A hand-designed network of the registry."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments for it, where it differs from the registry's."""
    space: Mapping[str, Any] | None = None
    """For a supernet: its search space, as a YAML file would say it."""

    def build(self) -> GaitNetwork:
        """The network, with fresh weights."""
        if self.space is None:
            return registry.build(str(self.model), self.num_classes, **self.settings)
        spec = validate(dict(self.space), SpaceSpec, "published space")
        return SearchSpace(spec, spec.name).supernet(self.num_classes)


Reader = Callable[[Config, State, str | None], Published]
"""Reads (config, weights, variant) of one published class; ConfigError if it cannot be."""


def section(config: Config, key: str) -> Mapping[str, Any]:
    """A section of a published config.

    Raises ConfigError when it is missing or holds no keys.
    """
    found = config.get(key)
    if not isinstance(found, Mapping):
        raise ConfigError(f"{key}: the published config has no such section")
    return found


def need(settings: Mapping[str, Any], *path: str) -> Any:
    """The value at a path of keys below ``model_cfg``; ConfigError when it is missing."""
    here: Any = settings
    for depth, key in enumerate(path):
        if not isinstance(here, Mapping) or key not in here:
            raise ConfigError(f"model_cfg.{'.'.join(path[: depth + 1])}: missing")
        here = here[key]
    return here


def natural(settings: Mapping[str, Any], *path: str) -> int:
    """The positive integer at a path of keys below ``model_cfg``; ConfigError if it is none."""
    found = need(settings, *path)
    if not _is_natural(found):
        raise ConfigError(f"model_cfg.{'.'.join(path)}: {found!r}; give a positive integer")
    return int(found)


def naturals(settings: Mapping[str, Any], *path: str, count: int | None = None) -> tuple[int, ...]:
    """The list of (``count``) positive integers at a path; ConfigError if it is none."""
    found = need(settings, *path)
    listed = isinstance(found, list | tuple) and len(found) > 0
    if not listed or count not in (None, len(found)) or not all(map(_is_natural, found)):
        wanted = "a list of" if count is None else f"{count}"
        raise ConfigError(f"model_cfg.{'.'.join(path)}: {found!r}; give {wanted} positive integers")
    return tuple(found)


def flag(settings: Mapping[str, Any], default: bool, *path: str) -> bool:
    """The switch at a path; ``default`` where its last key is left out, ConfigError if it is
    neither true nor false."""
    holder = need(settings, *path[:-1])
    found = holder.get(path[-1], default) if isinstance(holder, Mapping) else None
    if not isinstance(found, bool):
        raise ConfigError(f"model_cfg.{'.'.join(path)}: {found!r}; give true or false")
    return found


def one_channel(settings: Mapping[str, Any], *path: str) -> None:
    """ConfigError when the published network takes other images than silhouettes."""
    holder = need(settings, *path[:-1])
    if holder.get(path[-1], 1) != 1:
        raise ConfigError(
            f"model_cfg.{'.'.join(path)}: {holder[path[-1]]!r}; networks here take silhouettes, "
            "one channel"
        )


def embedding_channels(settings: Mapping[str, Any], channels: int, parts: int) -> int:
    """``SeparateFCs.out_channels``.

    Raises ConfigError when its other keys say anything but the ``channels`` and ``parts`` that
    the published network hands to it.
    """
    for key, wanted in (("in_channels", channels), ("parts_num", parts)):
        found = natural(settings, "SeparateFCs", key)
        if found != wanted:
            raise ConfigError(
                f"model_cfg.SeparateFCs.{key}: {found}, but the layers before it give {wanted}"
            )
    return natural(settings, "SeparateFCs", "out_channels")


def frame_size(config: Config) -> tuple[int, int]:
    """Height and width of the silhouettes: 64 x 44, or what ``evaluator_cfg.transform`` cuts.

    ``BaseSilCuttingTransform`` takes its ``cutting`` columns a side, or ten for each 64 of its
    ``img_w``.
    """
    evaluator = config.get("evaluator_cfg")
    steps = evaluator.get("transform") if isinstance(evaluator, Mapping) else None
    side, cutting = 64, None
    for step in steps if isinstance(steps, list | tuple) else ():
        if isinstance(step, Mapping) and step.get("type") == "BaseSilCuttingTransform":
            side, cutting = step.get("img_w", side), step.get("cutting")
    if not _is_natural(side) or side < 64:
        raise ConfigError(f"evaluator_cfg.transform: img_w {side!r}; give 64, 128, ...")
    if cutting is None:
        cutting = side // 64 * 10
    if (cutting != 0 and not _is_natural(cutting)) or 2 * cutting >= side:
        raise ConfigError(
            f"evaluator_cfg.transform: cutting {cutting!r}; give 0 to {side // 2 - 1} columns"
        )
    return int(side), int(side - 2 * cutting)


def _is_natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def identities(
    settings: Mapping[str, Any],
    state: State,
    name: str = "BNNecks.fc_bin",
    path: Sequence[str] = ("SeparateBNNecks", "class_num"),
) -> int | None:
    """Identities of the classifier; None for weights without one.

    Raises ConfigError when the key is missing, CheckpointError when the weights have another
    number of classes.
    """
    wanted, found = natural(settings, *path), classes(state, name)
    if found not in (None, wanted):
        raise CheckpointError(
            f"model_cfg.{'.'.join(path)}: {wanted}, but the weights have {found} classes"
        )
    return found


def classes(state: State, name: str = "BNNecks.fc_bin") -> int | None:
    """Identities of a classifier stored as [parts, channels, classes]; None without one."""
    return int(state[name].shape[-1]) if name in state else None


def rename(state: State, rules: Rules) -> dict[str, Tensor]:
    """The weights under our names; a name that no rule fits stays as it is."""
    compiled = [(re.compile(pattern), text) for pattern, text in rules]
    renamed = {}
    for name, value in state.items():
        for pattern, text in compiled:
            match = pattern.match(name)
            if match:
                name = match.expand(text) + name[match.end() :]
                break
        renamed[name] = value
    return renamed


def published_name(name: str, rules: Rules) -> str:
    """What a weight of ours is called in published files; its own name where no rule tells."""
    for pattern, text in rules:
        groups = re.findall(r"\([^()]*\)", pattern)
        literals = re.split(r"\\(\d)", text)
        ours = [
            f"(?P<g{piece}>{groups[int(piece) - 1][1:-1]})" if i % 2 else re.escape(piece)
            for i, piece in enumerate(literals)
        ]
        match = re.match("".join(ours), name)
        if not match:
            continue
        found = pattern.replace(r"\.", ".")
        for number, group in enumerate(groups, start=1):
            found = found.replace(group, match.groupdict().get(f"g{number}", group), 1)
        found += name[match.end() :]
        # An earlier rule may take that name elsewhere; only one that leads here is told.
        if list(rename({found: torch.empty(0)}, rules)) == [name]:
            return found
    return name


def load_weights(model: nn.Module, state: State, rules: Rules = ()) -> None:
    """Load published weights, all of them, under our names.

    Float64 weights make a float64 network.

    Raises:
        CheckpointError: names or shapes do not fit; missing and unknown ones are listed,
            grouped, with their shapes and published names.
    """
    ours = rename(unwrapped(state), rules)
    published = dict(zip(ours, unwrapped(state), strict=True))
    wanted = model.state_dict()
    groups = {
        "missing": [
            f"{published_name(name, rules)} {shape(wanted[name])}"
            for name in wanted
            if name not in ours
        ],
        "unknown": [
            f"{published[name]} {shape(ours[name])}" for name in ours if name not in wanted
        ],
        "of another shape": [
            f"{published[name]} {shape(ours[name])}, needed {shape(wanted[name])}"
            for name in ours
            if name in wanted and ours[name].shape != wanted[name].shape
        ],
    }
    faults = [f"{len(names)} {what}: {listed(names)}" for what, names in groups.items() if names]
    if faults:
        raise CheckpointError(f"the weights do not fit the config: {'; '.join(faults)}")
    if any(value.dtype == torch.float64 for value in ours.values()):
        model.double()
    model.load_state_dict(ours)


def unwrapped(state: State) -> State:
    """The weights without the ``module.`` that a saved DataParallel wrapper adds."""
    if state and all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return state


def shape(value: Tensor) -> str:
    """``[64, 1, 3, 3]``."""
    return str(list(value.shape))


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
