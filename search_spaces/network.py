"""The network of every space, with one or several candidate blocks in each layer."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgait.core.errors import ConfigError
from nasgait.nn.base import GaitNetwork, GaitOutput
from nasgait.nn.blocks import ChoiceBlock, ConvBN, TemporalAggregation, parse_block
from nasgait.nn.heads import BNNecks, SeparateFCs
from nasgait.nn.init import initialise
from nasgait.nn.pooling import GeMPyramid, spatial_max, temporal_max
from nasgait.nn.temporal import check_lengths, hide, repeat_short, valid_mask
from search_spaces.spec import LayerSpec, SpaceSpec, StageSpec


class Clip(NamedTuple):
    """What one unit of a network passes to the next."""

    x: Tensor
    """Features [n, c, s, h, w]."""
    valid: Tensor | None
    """Bool [n, 1, s, 1, 1], True on real frames; None when nothing is padded."""
    stage_input: Tensor | None = None
    """What entered the current stage, while its shortcut is still to come."""
    shortcut: Tensor | None = None
    """What the current stage's shortcut adds to the block that runs next."""


class ChoiceUnit(nn.Module):
    """One layer with its candidate blocks, and what follows before the next layer.

    The first layer of a stage remembers the stage's input; the last one adds the shortcut and
    applies ReLU, pooling and temporal aggregation.  A unit depends on nothing but the clip and its
    own choice, so two architectures with the same first choices share the clips up to there, and
    what :meth:`open` makes of them.
    """

    def __init__(
        self,
        stage: StageSpec,
        layer: LayerSpec,
        blocks: dict[int, str],
        in_channels: int,
        stage_channels: int,
        first: bool,
        last: bool,
    ) -> None:
        super().__init__()
        out = layer.channels
        self.options = nn.ModuleDict(
            {
                str(choice): ChoiceBlock(in_channels, out, parse_block(text), layer.relu)
                for choice, text in blocks.items()
            }
        )
        self.opens = first and stage.shortcut
        self.relu, self.pool = last and stage.relu, last and stage.pool
        closes = last and stage.shortcut
        self.shortcut = ConvBN(stage_channels, out, (1, 1, 1)) if closes else None
        self.aggregation = TemporalAggregation(out) if last and stage.lta else None

    def forward(self, clip: Clip, choice: int) -> Clip:
        """Run the block of this choice and what follows it."""
        clip = self.open(clip)
        x = self.block(choice)(clip.x, clip.valid)
        return self.close(clip._replace(x=x), in_place=not torch.is_grad_enabled())

    def block(self, choice: int) -> ChoiceBlock:
        """The candidate block of a choice."""
        return cast(ChoiceBlock, self.options[str(choice)])

    def open(self, clip: Clip) -> Clip:
        """What all choices share: the stage's input kept, its shortcut computed."""
        clip = self.remember(clip)
        if self.shortcut is None:
            return clip
        return self.with_shortcut(clip, self.shortcut(clip.stage_input, clip.valid))

    def remember(self, clip: Clip) -> Clip:
        """The clip, with the stage's input where a stage with a shortcut begins."""
        return clip._replace(stage_input=clip.x) if self.opens else clip

    def with_shortcut(self, clip: Clip, shortcut: Tensor) -> Clip:
        """The clip with the shortcut's output in place of the stage's input."""
        return clip._replace(stage_input=None, shortcut=shortcut)

    def close(self, clip: Clip, in_place: bool = False) -> Clip:
        """What follows the block, whose output the clip holds and ``in_place`` may overwrite."""
        x, valid, stage_input, shortcut = clip
        if shortcut is not None:
            x = x.add_(shortcut) if in_place else x + shortcut
        if self.pool:
            x = spatial_max(x)
        if self.relu:
            # The same after pooling as before it, with a quarter of the work.
            x = F.relu_(x)
        if self.aggregation is not None:
            x, valid = self.aggregation(x, valid)
        return Clip(x, valid, stage_input)


class ChoiceNetwork(GaitNetwork):
    """A network of a search space, holding the given blocks of each layer.

    With one option in each layer it is an architecture's own network; with all of them it is the
    space's supernet.  The state-dict keys of the former are a subset of the latter's.

    Args:
        spec: the search space.
        options: for each layer the choices to hold; ``units`` are their :class:`ChoiceUnit`, run
            in order between :meth:`enter` and :meth:`leave`.
        num_classes: identities of the BNNeck's classifier; without it no neck and no logits.
    """

    def __init__(
        self, spec: SpaceSpec, options: Sequence[Sequence[int]], num_classes: int | None = None
    ) -> None:
        super().__init__()
        self.size, self.frames, self.least_frames = spec.size, spec.frames, spec.least_frames
        self.options = tuple(tuple(layer) for layer in options)
        self.units = nn.ModuleList(_units(spec, self.options))
        channels, head = spec.stages[-1].layers[-1].channels, spec.head
        parts = sum(head.bins)
        self.pooling = GeMPyramid(head.bins)
        self.fcs = SeparateFCs(parts, channels, head.channels, head.normalise_fcs)
        initialise(self)
        self.neck = (
            BNNecks(parts, head.channels, num_classes, head.cosine, head.joint_norm)
            if num_classes
            else None
        )

    def forward(
        self, silhouettes: Tensor, lengths: Tensor | None = None, arch: Sequence[int] | None = None
    ) -> GaitOutput:
        """Embed sequences.

        Args:
            silhouettes: float [n, s, h, w] in 0..1.
            lengths: int64 [n], frames of each sequence; the rest is padding.
            arch: the choice in each layer; may be left out if each has only one.
        """
        clip = self.enter(silhouettes, lengths)
        for unit, choice in zip(self.units, self.path(arch), strict=True):
            clip = unit(clip, choice)
        return self.leave(clip)

    def path(self, arch: Sequence[int] | None) -> tuple[int, ...]:
        """The choices to run, checked against the options held.

        Raises ConfigError when ``arch`` leaves a layer's choice open, or names one not held.
        """
        if arch is None:
            if any(len(layer) != 1 for layer in self.options):
                raise ConfigError("arch: this network has several options; name one for each layer")
            return tuple(layer[0] for layer in self.options)
        if len(arch) != len(self.options):
            raise ConfigError(
                f"arch: {len(arch)} choices given, the space has {len(self.options)} layers"
            )
        for number, (choice, layer) in enumerate(zip(arch, self.options, strict=True)):
            if choice not in layer:
                raise ConfigError(f"arch: layer {number} holds the choices {layer}, not {choice}")
        return tuple(arch)

    def enter(self, silhouettes: Tensor, lengths: Tensor | None = None) -> Clip:
        """The clip for the first unit; sequences that are too short are repeated."""
        lengths = check_lengths(silhouettes, lengths)
        silhouettes, lengths = repeat_short(silhouettes, lengths, self.least_frames)
        valid = valid_mask(lengths, silhouettes.shape[1])
        return Clip(hide(silhouettes[:, None], valid), valid)

    def leave(self, clip: Clip) -> GaitOutput:
        """Embeddings, and logits if there is a neck, from the last unit's clip."""
        embeddings = self.fcs(self.pooling(temporal_max(clip.x, clip.valid)))
        return GaitOutput(embeddings, None if self.neck is None else self.neck(embeddings))


def _units(spec: SpaceSpec, options: Sequence[Sequence[int]]) -> list[ChoiceUnit]:
    units: list[ChoiceUnit] = []
    channels = 1
    for stage in spec.stages:
        stage_channels = channels
        for i, layer in enumerate(stage.layers):
            candidates = spec.candidates(layer)
            blocks = {choice: candidates[choice] for choice in options[len(units)]}
            last = i == len(stage.layers) - 1
            units.append(ChoiceUnit(stage, layer, blocks, channels, stage_channels, i == 0, last))
            channels = layer.channels
    return units
