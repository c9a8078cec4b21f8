"""Scores architectures with the supernet's weights.

Each path takes exact BatchNorm statistics from training sequences, then search-val sequences are
retrieved from one another (leave-one-out).  Test identities are never read.  Architectures that
are scored together share the work on common prefixes; each gets the score that it would get alone.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasgait.config.schema import CalibrationConfig, ExperimentConfig
from nasgait.core.errors import DataError
from nasgait.core.precision import MIXED, autocast
from nasgait.core.rng import generator
from nasgait.data.loader import pad
from nasgait.data.split import HasSequences, Split
from nasgait.data.store import GaitStore
from nasgait.data.transforms import fit
from nasgait.evaluation.embed import like_lengths
from nasgait.evaluation.protocols.leave_one_out import leave_one_out
from nasgait.nn.memory_format import to_channels_last
from nasgait.nn.temporal import repeats
from supernet.network import slice_state
from supernet.scoring.activation_cache import ActivationBudget
from supernet.scoring.memory_plan import NetworkMemory
from supernet.scoring.prefix_evaluator import PrefixEvaluator
from supernet.scoring.prefix_tree import Prefix
from supernet.weights import Weights

METRICS = ("rank1", "map")
"""The metrics of a score, in percent."""


class Scorer:
    """Scores architectures of one supernet, many at a time.

    Args:
        config: its ``search`` section says how to score; its seed draws the calibration set.
        weights: the supernet.
        store: where the silhouettes are.
        split: which of its sequences are for what.
        device: where to compute.

    Attributes:
        indices: the scored sequences of the store, and ``labels`` their identities.
        calibrated_on: sequences of the calibration set.
        memory: the budget of activations, with its peak use.

    Raises:
        ConfigError: ``search.memory`` is too little for a single sequence, or the device does not
            know ``search.precision``.
        DataError: too few search-val identities.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        weights: Weights,
        store: GaitStore,
        split: Split,
        device: torch.device,
    ) -> None:
        search, self.space = config.search, weights.space
        self._store, self.device, self._distance = store, device, config.evaluation.metric
        autocast(device, search.precision)  # refuses what the device cannot do
        dtype = MIXED.get(search.precision, torch.float32)
        self.network = self.space.supernet()
        self.network.load_state_dict(slice_state(weights.state, self.network))
        to_channels_last(self.network.to(device)).eval()

        self.indices = scored_sequences(store, split, search.max_sequences)
        self.labels = [store.sequences[index].label for index in self.indices]
        frames = np.array([store.sequences[index].length for index in self.indices])
        self._lengths = np.minimum(frames, search.max_frames or frames.max())
        drawn = calibration_sequences(store, split, search.calibration, config.seed)
        self.calibrated_on = len(drawn)
        lengths = self._repeated(self._lengths)
        calibration = self._repeated([len(x) for x in drawn])
        plan = NetworkMemory.of(self.space.spec).plan(
            search.memory,
            max(*lengths, *calibration, 0),
            device,
            sum(frames.nbytes for frames in drawn),
            len(self.indices),
        )
        self.memory = ActivationBudget(plan.activations)
        self._batches = list(like_lengths(lengths, plan.batch_frames))
        self._evaluator = PrefixEvaluator(
            self.network,
            [
                partial(self._padded, [drawn[i] for i in batch])
                for batch in like_lengths(calibration, plan.batch_frames)
            ],
            [partial(self._read, batch) for batch in self._batches],
            self.memory,
            dtype,
            plan.threads,
        )

    def score_all(
        self, architectures: Iterable[Prefix]
    ) -> Iterator[tuple[Prefix, dict[str, float], float]]:
        """Score architectures, those with a common prefix side by side.

        Yields:
            In the order of their choices, each as soon as it is known: the choices; leave-one-out
            ``rank1`` and ``map`` in percent on search-val identities; the seconds since the one
            before.
        """
        began = time.perf_counter()
        for choices, embeddings in self.embed(architectures):
            found = leave_one_out(embeddings, self.labels, self._distance).metrics()
            seconds = time.perf_counter() - began
            yield choices, {name: found[name] for name in METRICS}, seconds
            began = time.perf_counter()

    def embed(
        self, architectures: Iterable[Prefix]
    ) -> Iterator[tuple[Prefix, NDArray[np.float32]]]:
        """Each architecture's embeddings of the scored sequences [n, c, p], in their order."""
        order = np.argsort(np.concatenate(self._batches))
        for choices, embeddings in self._evaluator.embeddings(architectures):
            yield choices, embeddings.cpu().numpy()[order]

    def _repeated(self, lengths: Iterable[int]) -> list[int]:
        """Lengths of sequences once those that are too short for the network are repeated."""
        least = self.space.spec.least_frames
        return [int(length) * repeats(int(length), least) for length in lengths]

    def _read(self, batch: Sequence[int]) -> tuple[Tensor, Tensor]:
        return self._padded(
            [self._store.read(self.indices[i], np.arange(self._lengths[i])) for i in batch]
        )

    def _padded(self, sequences: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
        frames, lengths = pad(sequences)
        return fit(frames.to(self.device), self.space.size), lengths.to(self.device)


def calibration_sequences(
    store: GaitStore, split: Split, config: CalibrationConfig, seed: int
) -> list[np.ndarray]:
    """The frames of training sequences for recalibration, uint8 [s, h, w], not augmented."""
    rng = generator(seed, "calibration")
    count = min(config.sequences, len(split.train))
    drawn = rng.choice(split.train, size=count, replace=False)
    return [store[int(index)][: config.max_frames] for index in drawn]


def scored_sequences(store: HasSequences, split: Split, limit: int | None) -> list[int]:
    """Search-val sequences to score: whole identities, in order, up to ``limit`` sequences.

    Raises DataError when there are fewer than two identities.
    """
    groups: dict[str, list[int]] = {}
    for index in split.search_val:
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
