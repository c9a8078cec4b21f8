"""The description of a search space: the keys of its YAML file, and the checks of it."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from nasgait.config.load import load_config
from nasgait.config.schema import Count
from nasgait.core.errors import ConfigError
from nasgait.nn.blocks import parse_block
from nasgait.nn.temporal import LTA_STRIDE

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class LayerSpec:
    """One layer: a block chosen among candidates."""

    channels: Count
    """Output channels."""
    relu: bool
    """Whether a ReLU follows the block's last BatchNorm."""
    blocks: tuple[str, ...] | None = None
    """Candidates of this layer alone; those of the space by default."""


@dataclass(frozen=True)
class StageSpec:
    """Layers with one shortcut around them; the keys below apply in their order."""

    layers: tuple[LayerSpec, ...]
    """Run one after another."""
    shortcut: bool = True
    """Add a 1x1x1 convolution + BatchNorm of the stage's input to its output."""
    relu: bool = False
    """ReLU after that sum."""
    pool: bool = False
    """Halve height and width by their maximum (1x2x2)."""
    lta: bool = False
    """Turn every three frames into one: 3x1x1 convolution with stride 3, LeakyReLU."""


@dataclass(frozen=True)
class HeadSpec:
    """From feature maps to the embedding: maximum over time, strips, one FC for each."""

    bins: tuple[Count, ...]
    """Horizontal strips at each level of the generalised-mean pyramid."""
    channels: Count
    """Channels of the embedding of each part (the sum of bins is the number of parts)."""
    normalise_fcs: bool = False
    """Whether each output's weights are scaled to length 1."""
    cosine: bool = True
    """Whether the classifier uses cosines; plain inner products otherwise."""
    joint_norm: bool = True
    """Whether the neck has one BatchNorm for all parts; one for each part otherwise."""


@dataclass(frozen=True)
class SpaceSpec:
    """A search space as its YAML file gives it."""

    name: str
    """The name that architectures and checkpoints use."""
    size: tuple[Count, Count]
    """Height and width of the input silhouettes."""
    frames: Count
    """Frames of a sequence when costs are stated."""
    blocks: tuple[str, ...]
    """Candidates of each layer that lists none of its own; a choice is a position in it."""
    stages: tuple[StageSpec, ...]
    """Run one after another."""
    head: HeadSpec
    """Pooling and embedding."""
    description: str = ""
    """For people; not part of the checksum."""

    def layers(self) -> Iterator[tuple[LayerSpec, tuple[str, ...]]]:
        """Each layer with its candidate blocks."""
        for stage in self.stages:
            for layer in stage.layers:
                yield layer, self.candidates(layer)

    def candidates(self, layer: LayerSpec) -> tuple[str, ...]:
        """The blocks that the layer chooses among."""
        return self.blocks if layer.blocks is None else layer.blocks

    @property
    def least_frames(self) -> int:
        """Shorter sequences are repeated until they have this many frames."""
        return LTA_STRIDE ** max(1, sum(stage.lta for stage in self.stages))

    @property
    def sha256(self) -> str:
        """Checksum of what the space builds, without description, comments and layout."""
        facts = {key: value for key, value in asdict(self).items() if key != "description"}
        # Switches at their defaults do not count: spaces from before there were switches keep
        # the checksum that their architectures and checkpoints carry.
        defaults = {entry.name: entry.default for entry in fields(HeadSpec)}
        facts["head"] = {k: v for k, v in facts["head"].items() if v != defaults[k]}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def read_spec(path: Path) -> SpaceSpec:
    """Read and check a space's YAML file; ConfigError names every fault in one line."""
    spec = load_config(path, (), schema=SpaceSpec)
    found = list(faults(spec))
    if found:
        raise ConfigError(f"{path}: {'; '.join(found)}")
    return spec


def faults(spec: SpaceSpec) -> Iterator[str]:
    """Yield what is wrong with a space beyond the types of its keys."""
    if not _NAME.fullmatch(spec.name):
        yield f"name: must be lower-case letters, digits, '-' and '_', not {spec.name!r}"
    yield from _block_faults("blocks", spec.blocks)
    if not spec.stages:
        yield "stages: there must be at least one"
    for i, stage in enumerate(spec.stages):
        if not stage.layers:
            yield f"stages.{i}.layers: there must be at least one"
        for j, layer in enumerate(stage.layers):
            if layer.blocks is not None:
                yield from _block_faults(f"stages.{i}.layers.{j}.blocks", layer.blocks)
    yield from _size_faults(spec)


def _block_faults(key: str, blocks: tuple[str, ...]) -> Iterator[str]:
    if not blocks:
        yield f"{key}: there must be at least one"
    for i, block in enumerate(blocks):
        try:
            parse_block(block)
        except ValueError as error:
            yield f"{key}.{i}: {error}"
        if block in blocks[:i]:
            yield f"{key}.{i}: {block!r} is given twice"


def _size_faults(spec: SpaceSpec) -> Iterator[str]:
    height, width = spec.size
    for i, stage in enumerate(spec.stages):
        if stage.pool and min(height, width) < 2:
            yield f"stages.{i}.pool: {height}x{width} cannot be halved"
            return
        if stage.pool:
            height, width = height // 2, width // 2
    if not spec.head.bins:
        yield "head.bins: there must be at least one"
    for i, bins in enumerate(spec.head.bins):
        if height % bins:
            yield f"head.bins.{i}: the final height {height} is no multiple of {bins}"
