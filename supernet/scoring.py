"""How good are architectures, by the supernet's weights?

The paths take exact BatchNorm statistics from training sequences, then retrieve search-val
sequences from one another (leave-one-out).  Test identities are never read.  Architectures
scored together share the work on all layers up to where they part; the scores are those that
each would get alone.
"""

import time
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from nasgait.config.schema import CalibrationConfig, ExperimentConfig
from nasgait.data.loader import pad
from nasgait.data.split import Split
from nasgait.data.store import GaitStore
from nasgait.data.transforms import fit
from nasgait.engine.precision import MIXED, autocast
from nasgait.engine.rng import generator
from nasgait.errors import DataError
from nasgait.evaluation.embed import like_lengths
from nasgait.evaluation.protocols import leave_one_out
from nasgait.nn.layout import to_channels_last
from search_spaces.network import Clip
from supernet.calibration import Batch, Calibration
from supernet.column import Memory
from supernet.footprint import Footprint
from supernet.network import slice_state
from supernet.tree import Prefix, Tree, grow
from supernet.weights import Weights

RATES = ("rank1", "map")
"""What a score is, in percent."""


class Scorer:
    """Scores architectures of one supernet, many at a time.

    Args:
        config: its ``search`` section says how; its seed draws the calibration set.
        weights: the supernet.
        store, parts: where the silhouettes are, and the identities' split.
        device: where to compute.

    Attributes:
        indices: the scored sequences of the store, and ``labels`` their identities.
        calibrated_on: sequences of the calibration set.
        memory: what activations of the calibration set may hold, and have held.

    Raises:
        ConfigError: ``search.memory`` is too little for a single sequence.
        DataError: too few search-val identities.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        weights: Weights,
        store: GaitStore,
        parts: Split,
        device: torch.device,
    ) -> None:
        search, self.space = config.search, weights.space
        self._store, self.device, self._metric = store, device, config.evaluation.metric
        self._dtype = MIXED.get(search.precision, torch.float32)
        self._arithmetic = partial(autocast, device, search.precision)
        self.network = self.space.supernet()
        self.network.load_state_dict(slice_state(weights.state, self.network))
        to_channels_last(self.network.to(device)).eval()

        self.indices = scored_sequences(store, parts, search.max_sequences)
        self.labels = [store.sequences[index].label for index in self.indices]
        frames = np.array([store.sequences[index].length for index in self.indices])
        self._lengths = np.minimum(frames, search.max_frames or frames.max())
        drawn = calibration_sequences(store, parts, search.calibration, config.seed)
        self.calibrated_on = len(drawn)
        longest = max([int(self._lengths.max()), *map(len, drawn)])
        self._plan = Footprint.of(self.space.spec, self._dtype).plan(search.memory, longest, device)
        batches = [
            self._padded([drawn[i] for i in batch])
            for batch in like_lengths([len(frames) for frames in drawn], self._plan.batch_frames)
        ]
        self.memory = Memory(self._plan.activations - sum(x.nbytes for x, _ in batches))
        self._calibration = Calibration(self.network, batches, self.memory, self._arithmetic)

    def score_all(
        self, architectures: Sequence[Prefix]
    ) -> Iterator[tuple[Prefix, dict[str, float], float]]:
        """Score architectures, those that begin alike side by side.

        Yields, in the given order:
            The choices; leave-one-out ``rank1`` and ``map`` in percent on search-val
            identities; the seconds it took, an equal share of the common work.
        """
        ordered = sorted(set(architectures))
        together = self._plan.architectures(len(self.indices))
        scored: dict[Prefix, tuple[dict[str, float], float]] = {}
        for start in range(0, len(ordered), together):
            began = time.perf_counter()
            rates = {
                choices: self._rates(embeddings)
                for choices, embeddings in self.embed(ordered[start : start + together]).items()
            }
            share = (time.perf_counter() - began) / len(rates)
            scored |= {choices: (found, share) for choices, found in rates.items()}
        yield from ((choices, *scored[choices]) for choices in architectures)

    def score(self, choices: Prefix) -> dict[str, float]:
        """The rates of one architecture."""
        return next(self.score_all([choices]))[1]

    def embed(self, architectures: Sequence[Prefix]) -> dict[Prefix, NDArray[np.float32]]:
        """What each architecture makes of the scored sequences: [n, c, p], in their order."""
        self._calibration.measure(architectures)
        tree, head = grow(architectures), self.space.spec.head
        shape = (len(self.indices), head.channels, sum(head.bins))
        found = {choices: np.empty(shape, np.float32) for choices in architectures}
        for group in self._groups():
            batches = [self._padded([self._read(i) for i in batch]) for batch in group]
            with torch.inference_mode(), self._arithmetic():
                clips = [self.network.enter(*batch) for batch in batches]
                for choices, embeddings in self._embed_below(tree, (), clips):
                    found[choices][np.concatenate(group)] = embeddings
        return found

    def _groups(self) -> Iterator[list[list[int]]]:
        """The scored sequences in batches, as many together as memory holds along a path."""
        group: list[list[int]] = []
        frames = 0
        for batch in like_lengths(self._lengths, self._plan.batch_frames):
            padded = len(batch) * int(self._lengths[batch[0]])
            if group and frames + padded > self._plan.group_frames:
                yield group
                group, frames = [], 0
            group.append(batch)
            frames += padded
        yield group

    def _rates(self, embeddings: NDArray[np.float32]) -> dict[str, float]:
        rates = leave_one_out(embeddings, self.labels, self._metric).rates()
        return {name: rates[name] for name in RATES}

    def _embed_below(
        self, tree: Tree, prefix: Prefix, clips: list[Clip]
    ) -> Iterator[tuple[Prefix, NDArray[np.float32]]]:
        """The architectures of a tree, and their embeddings of all clips behind ``prefix``."""
        if not tree:
            rows = [self.network.leave(clip).embeddings.float() for clip in clips]
            yield prefix, torch.cat(rows).cpu().numpy()
        for choice, below in tree.items():
            path = (*prefix, choice)
            self._calibration.fold(path, self._dtype)
            unit = self.network.units[len(prefix)]
            yield from self._embed_below(below, path, [unit(clip, choice) for clip in clips])

    def _read(self, i: int) -> NDArray[np.uint8]:
        return self._store.read(self.indices[i], np.arange(self._lengths[i]))

    def _padded(self, sequences: list[NDArray[np.uint8]]) -> Batch:
        frames, lengths = pad(sequences)
        return fit(frames.to(self.device), self.space.size), lengths.to(self.device)


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
