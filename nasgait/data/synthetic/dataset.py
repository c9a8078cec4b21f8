"""Writing the embedded dataset into a store, with several processes."""

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from nasgait.core.errors import ConfigError
from nasgait.core.pool import cores, in_order
from nasgait.core.rng import generator
from nasgait.data.synthetic.population import YAW_BINS, Recording, preset_named, recordings
from nasgait.data.synthetic.walk import (
    Walk,
    draw_walk,
    lab_camera,
    lab_silhouettes,
    wild_camera,
    wild_silhouettes,
)
from nasgait.data.writer import StoreWriter

VERSION = 1
"""Of the generator; it is raised when the same seed gives other frames."""


def recorded_walk(recording: Recording, wild: bool, seed: int) -> Walk:
    """How the walker moves and is dressed, the same in all views."""
    identity = recording.identity
    rng = generator(seed, "walk", identity.subset, identity.number, recording.walk)
    return draw_walk(recording.type[:2], identity.dynamics(seed), wild, rng)


def silhouettes(recording: Recording, wild: bool, seed: int) -> list[np.ndarray]:
    """Frames of a walk for each of its views: uint8 [s, 64, 64] each, 0 or 255.

    They depend only on the seed, the identity and the number of the walk.
    """
    identity = recording.identity
    stream = (identity.subset, identity.number, recording.walk)
    body, walk = identity.body(seed), recorded_walk(recording, wild, seed)
    frames = []
    for view, angle in recording.views:
        rng = generator(seed, "view", *stream, view)
        if wild:
            yaw = 2 * np.pi * (angle + rng.random()) / YAW_BINS
            frames.append(wild_silhouettes(body, walk, wild_camera(yaw, walk, rng), rng))
        else:
            frames.append(lab_silhouettes(body, walk, lab_camera(float(np.radians(angle))), rng))
    return frames


def generate(
    preset: str = "wild-mini",
    ids: int | None = None,
    seqs: int | None = None,
    seed: int = 0,
    workers: int | None = 1,
    skip: frozenset[str] = frozenset(),
) -> Iterator[tuple[Recording, list[np.ndarray]]]:
    """Yield every walk of a preset with the frames of its views, in the plan's order.

    ``workers`` processes share the work (all cores by default; 1 works in this process).
    Walks whose sequence keys are all in ``skip`` are left out.

    Raises:
        ConfigError: an unknown preset.
    """
    plan = preset_named(preset)
    todo = [r for r in recordings(plan, ids, seqs, seed) if not _keys(r) <= skip]
    work = partial(silhouettes, wild=plan.wild, seed=seed)
    workers = min(workers or cores(), max(1, len(todo) // 8))
    if workers == 1:
        cv2.setNumThreads(1)
    with contextlib.closing(in_order(work, todo, workers)) as frames:
        yield from zip(todo, frames, strict=True)


def _keys(recording: Recording) -> set[str]:
    return {f"{recording.identity.label}-{recording.type}-{view}" for view, _ in recording.views}


def settings_of(preset: str, ids: int | None, seqs: int | None, seed: int) -> dict[str, Any]:
    """The settings that decide every frame, as the store records them.

    Raises ConfigError for an unknown preset.
    """
    plan = preset_named(preset)
    return {
        "generator": VERSION,
        "preset": preset,
        "ids": ids or sum(plan.ids),
        "seqs": seqs or len(plan.kinds),
        "seed": seed,
    }


def write_dataset(
    out: str | os.PathLike[str],
    preset: str = "wild-mini",
    ids: int | None = None,
    seqs: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Write the embedded dataset as a store; a partial one of the same settings is resumed.

    Args:
        out: The store's directory.
        preset: ``wild``, ``wild-mini`` or ``lab``.
        ids: Identities over all subsets, shared out as in the preset; the preset's number
            by default.
        seqs: Walks of each identity (each seen from 11 sides in ``lab``).
        seed: The same seed gives the same frames.
        workers: Processes; all cores by default.  Frames do not depend on it.
        progress: Show a progress bar on stderr.

    Raises:
        ConfigError: an unknown preset, or a number below 1.
        DataError: ``out`` holds something else.
    """
    for name, value in (("ids", ids), ("seqs", seqs), ("workers", workers)):
        if value is not None and value < 1:
            raise ConfigError(f"{name}: {value} is too few; give 1 or more")
    plan = preset_named(preset)
    walks = list(recordings(plan, ids, seqs, seed))
    facts = settings_of(preset, ids, seqs, seed)
    with (
        StoreWriter(Path(out), meta_extra={"synthetic": facts}) as store,
        tqdm(total=sum(len(w.views) for w in walks), unit="seq", disable=not progress) as bar,
    ):
        bar.update(len(store.done))
        for recording, views in generate(preset, ids, seqs, seed, workers, frozenset(store.done)):
            label, subset = recording.identity.label, recording.identity.subset
            for (view, _), frames in zip(recording.views, views, strict=True):
                if f"{label}-{recording.type}-{view}" not in store.done:
                    store.add(label, recording.type, view, subset, frames)
                    bar.update()
