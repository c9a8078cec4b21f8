"""How good is an architecture, by the supernet's weights?

The chosen path is built, takes its slice of the supernet, gets exact BatchNorm
statistics from training sequences, and retrieves search-val sequences from one
another (leave-one-out).  Test identities are never read.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nasgait.config.schema import CalibrationConfig, ExperimentConfig
from nasgait.data.loader import pad
from nasgait.data.split import Split
from nasgait.data.store import GaitStore
from nasgait.data.transforms import fit
from nasgait.engine.checkpoint import FORMAT, load_checkpoint, sha256_of
from nasgait.engine.precision import autocast
from nasgait.engine.rng import generator
from nasgait.errors import CheckpointError, DataError
from nasgait.evaluation.embed import embed
from nasgait.evaluation.protocols import leave_one_out
from nasgait.nn.layout import to_channels_last
from nasgait.nn.output import GaitNetwork
from search_spaces import load_space
from search_spaces.record import Architecture
from search_spaces.space import SearchSpace
from supernet.network import slice_state
from supernet.recalibrate import recalibrate

logger = logging.getLogger(__name__)

CALIBRATION_FRAMES = 2048
"""Frames (at most, padding included) of one calibration batch."""


@dataclass(frozen=True)
class Weights:
    """A trained supernet: its weights, its space and where they come from."""

    state: Mapping[str, Tensor]
    space: SearchSpace
    sha256: str


def load_supernet(path: str | Path, space_name: str) -> Weights:
    """The supernet checkpoint at ``path``, which must be one over ``space_name``.

    Raises:
        CheckpointError: missing, damaged, no supernet, or one of another space.
    """
    saved = load_checkpoint(path, FORMAT)
    space = load_space(space_name)
    if saved.get("kind") != "supernet":
        raise CheckpointError(f"{path}: holds a {saved.get('kind')}, not a supernet")
    check_space(path, saved, space)
    return Weights(saved["model"], space, sha256_of(path))


def check_space(path: str | Path, saved: Mapping[str, Any], space: SearchSpace) -> None:
    """Refuse weights that belong to another search space."""
    if saved.get("space_sha256") != space.sha256:
        raise CheckpointError(
            f"{path}: is of space {saved.get('space')} (sha256 "
            f"{str(saved.get('space_sha256'))[:12]}), not {space.name} ({space.sha256[:12]}); "
            "give the space that it was trained on, or train again"
        )


def calibration_sequences(
    store: GaitStore, parts: Split, config: CalibrationConfig, seed: int
) -> list[np.ndarray]:
    """Frames of training sequences for recalibration, without augmentation.

    Returns uint8 arrays [s, h, w], the shortest first so that batches hold little
    padding.
    """
    rng = generator(seed, "calibration")
    count = min(config.sequences, len(parts.train))
    drawn = rng.choice(parts.train, size=count, replace=False)
    frames = [store[int(index)][: config.max_frames] for index in drawn]
    return sorted(frames, key=len)


def batches_of(sequences: list[np.ndarray], size: tuple[int, int]) -> list[tuple[Tensor, Tensor]]:
    """Padded batches (silhouettes [n, s, h, w], lengths [n]) of bounded size."""
    groups: list[list[np.ndarray]] = [[]]
    for frames in sequences:
        if groups[-1] and (len(groups[-1]) + 1) * len(frames) > CALIBRATION_FRAMES:
            groups.append([])
        groups[-1].append(frames)
    padded = [pad(group) for group in groups]
    return [(fit(frames, size), lengths) for frames, lengths in padded]


class Scorer:
    """Scores architectures of one supernet, one by one."""

    def __init__(
        self,
        config: ExperimentConfig,
        weights: Weights,
        store: GaitStore,
        parts: Split,
        device: torch.device,
    ) -> None:
        self.weights, self.store, self.device = weights, store, device
        self.precision = config.search.precision
        self.metric = config.evaluation.metric
        self.max_frames = config.search.max_frames
        self.indices = scored_sequences(store, parts, config.search.max_sequences)
        self.labels = [store.sequences[index].label for index in self.indices]
        sequences = calibration_sequences(store, parts, config.search.calibration, config.seed)
        self.calibrated_on = len(sequences)
        self.calibration = [
            (silhouettes.to(device), lengths.to(device))
            for silhouettes, lengths in batches_of(sequences, weights.space.size)
        ]

    def network(self, arch: Architecture) -> GaitNetwork:
        """The subnet of ``arch`` with the supernet's weights and its own exact statistics."""
        model = self.weights.space.build(arch)
        model.load_state_dict(slice_state(self.weights.state, model))
        to_channels_last(model.to(self.device)).eval()
        recalibrate(model, [partial(self._forward, model, *batch) for batch in self.calibration])
        return model

    def score(self, arch: Architecture) -> dict[str, float]:
        """Leave-one-out rates in percent (``rank1``, ``map``, ...) on search-val identities."""
        embeddings = embed(
            self.network(arch),
            self.store,
            self.indices,
            self.weights.space.size,
            max_frames=self.max_frames,
            device=str(self.device),
            precision=self.precision,
        )
        return leave_one_out(embeddings, self.labels, self.metric).rates()

    def _forward(self, model: GaitNetwork, silhouettes: Tensor, lengths: Tensor) -> None:
        with autocast(self.device, self.precision):
            model(silhouettes, lengths)


def scored_sequences(store: GaitStore, parts: Split, limit: int | None) -> list[int]:
    """Search-val sequences to score: whole identities, in order, up to ``limit`` sequences.

    Raises DataError when there are fewer than two identities.
    """
    groups: dict[str, list[int]] = {}
    for index in parts.search_val:
        groups.setdefault(store.sequences[index].label, []).append(index)
    chosen: list[int] = []
    taken = 0
    for label in sorted(groups):
        if limit is not None and chosen and len(chosen) + len(groups[label]) > limit:
            break
        chosen += groups[label]
        taken += 1
    if taken < 2:
        raise DataError(
            f"search-val holds {taken} identity to score; leave-one-out needs 2 or more: "
            "raise data.search_val or search.max_sequences"
        )
    return chosen
