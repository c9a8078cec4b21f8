"""A published network as it is built here, and its weights under our names."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from nasgait.baselines import registry
from nasgait.compat.keys import Config, State
from nasgait.config.load import validate
from nasgait.core.errors import CheckpointError
from nasgait.nn.base import GaitNetwork
from search_spaces.space import SearchSpace
from search_spaces.spec import SpaceSpec

Rules = Sequence[tuple[str, str]]
"""Patterns for the beginning of a published name, each with its replacement here."""

NECK: Rules = ((r"BNNecks\.bn1d\.", "neck.norm."), (r"BNNecks\.fc_bin", "neck.fc_bin"))
"""SeparateBNNecks, which have the same names in all networks."""

_LISTED = 8
"""Names of each group that an error spells out."""


@dataclass(frozen=True)
class Published:
    """How a published network is built here, and what its weights are called."""

    rules: Rules
    """From published names to ours; the first pattern that matches a name counts."""
    num_classes: int | None
    """Identities of the classifier; None without one."""
    model: str | None = None
    """A hand-designed network of the registry."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments for it, in place of the registry's."""
    space: Mapping[str, Any] | None = None
    """For a supernet: its search space, as a YAML file would have it."""

    def build(self) -> GaitNetwork:
        """The network, with fresh weights."""
        if self.space is None:
            return registry.build(str(self.model), self.num_classes, **self.settings)
        spec = validate(dict(self.space), SpaceSpec, "published space")
        return SearchSpace(spec, spec.name).supernet(self.num_classes)


Reader = Callable[[Config, State, str | None], Published]
"""Reads (config, weights, variant) of one published class, or raises ConfigError."""


def rename(state: State, rules: Rules) -> dict[str, Tensor]:
    """The weights under our names; a name that no rule matches stays as it is."""
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
    """The published name of one of our weights; our own name where no rule leads to it."""
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
        # An earlier rule may match that name, too; only a name that leads back here is right.
        if list(rename({found: torch.empty(0)}, rules)) == [name]:
            return found
    return name


def load_weights(model: nn.Module, state: State, rules: Rules = ()) -> None:
    """Load all published weights under our names; float64 weights make a float64 network.

    Raises:
        CheckpointError: names or shapes do not match.  The message groups missing, unknown and
            ill-shaped weights, with their published names and shapes.
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
    """The weights without the prefix ``module.`` of a saved DataParallel wrapper."""
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
