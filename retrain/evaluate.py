"""Evaluate a trained network on the test sequences of a store: ``nasgait eval``."""

import logging
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.config.schema import EvaluationConfig
from nasgait.core.checked_zip import add_checksum, check_zip
from nasgait.core.checksum import Damaged
from nasgait.core.distributed import World, joined
from nasgait.core.errors import ConfigError, DataError
from nasgait.core.files import write_atomically
from nasgait.core.precision import autocast
from nasgait.data.store import GaitStore, OnDamage, Sequence
from nasgait.data.transforms import reduction
from nasgait.evaluation.embed import embed_shared
from nasgait.evaluation.evaluation_set import evaluation_set, unembedded
from nasgait.evaluation.options import (
    check_options,
    check_sequences,
    evaluated_indices,
    settings_of,
)
from nasgait.evaluation.protocols import find_protocol, log_notes, that_accept
from nasgait.evaluation.submission import Submission
from nasgait.nn.base import GaitNetwork
from nasgait.nn.memory_format import to_channels_last
from retrain.network_spec import load_network

logger = logging.getLogger(__name__)

CMC_RANKS = 20


@dataclass(frozen=True)
class Probes:
    """The result of each probe, for statistics over networks and seeds."""

    labels: NDArray[np.str_]
    """[k] identities."""
    hits: NDArray[np.float64]
    """[k] 1 where the nearest gallery sequence is right; with a gallery for each view, the share
    of galleries where it is."""
    ap: NDArray[np.float64]
    """[k] average precision, 0..1."""


@dataclass(frozen=True)
class EvaluationResult:
    """A network's result: its metrics, and its probes one by one."""

    metrics: dict[str, Any]
    """In percent: the protocol's own table, single numbers to compare networks by (``rank1``,
    ``rank5``, ``map``; means over the conditions where there are any), ``cmc``; how many
    ``probes`` there are and lack a match (``unmatched_probes``), the single numbers without these
    (``rank1_matched``, ...), and ``notes``: what has to be said beside the metrics."""
    probes: Probes
    notes: tuple[str, ...] = ()
    """The notes with the rates of this network in them, for the log."""


def evaluate_network(
    model: GaitNetwork,
    store: GaitStore,
    indices: list[int],
    config: EvaluationConfig,
    world: World,
    submission: Path | None = None,
) -> EvaluationResult:
    """Embed test sequences and evaluate them by the protocol of ``config``.

    Without a truth file, ``grew`` gives its local metrics only (``rank1_local``, ...), and
    ``hid`` gives none.

    Args:
        model: the network, on the device of ``world``.
        store, indices: silhouettes, and those of test sequences; the settings may add distractors.
        config: the settings.
        world: ranks that share the embedding: all of them call this and get the result.
        submission: where to write the submission, if protocol and store have one.

    Raises ConfigError for settings that do not fit the protocol, DataError where there are no
    sequences that the protocol can use.
    """
    check_options(config, submits=submission is not None)
    indices = evaluated_indices(store, indices, config)
    if not indices:
        raise DataError(f"{store.path}: no test sequences to evaluate")
    size, frames = model.size, config.max_frames
    embeddings = embed_shared(
        model, store, indices, size, world, frames, config.precision, progress=True
    )
    rows = [store.sequences[index] for index in indices]
    labels, types, views = zip(*((row.label, row.type, row.view) for row in rows), strict=True)
    sequences = evaluation_set(embeddings, labels, types, views, **settings_of(config))
    protocol = find_protocol(config.protocol)
    if submission and protocol.submission:
        if protocol.submission.possible(sequences):
            probes = protocol.submission.write(submission, sequences)
            logger.info("%s: %d probes", submission, probes)
        else:
            logger.warning("no submission: no probes, or too small a gallery")
    if "truth" in protocol.required and not sequences.truth:
        return EvaluationResult({}, Probes(np.array([], np.str_), np.array([]), np.array([])))
    outcome = protocol.evaluate(sequences)
    metrics = outcome.metrics() | outcome.summary() | outcome.coverage()
    metrics |= {"notes": outcome.notes(rates=False), "cmc": outcome.cmc(CMC_RANKS).tolist()}
    each = Probes(outcome.labels, outcome.hits, outcome.ap)
    return EvaluationResult(metrics, each, tuple(outcome.notes()))


def write_probes(path: Path, probes: Probes) -> None:
    """Write the probes as plain arrays with a checksum, whole or not at all."""
    arrays = BytesIO()
    np.savez_compressed(arrays, **vars(probes))
    content = arrays.getbuffer()
    write_atomically(path, lambda file: add_checksum(file, lambda part: part.write(content)))


def read_probes(path: Path) -> Probes:
    """Read what :func:`write_probes` wrote; DataError for anything else."""
    cure = "resume the network's training (--resume, or the same nasgait run) to write it again"
    try:
        check_zip(path)
        with np.load(path, allow_pickle=False) as arrays:
            probes = Probes(arrays["labels"], arrays["hits"], arrays["ap"])
        if not probes.labels.shape == probes.hits.shape == probes.ap.shape:
            raise ValueError("its columns differ in length")
        return probes
    except Damaged as error:
        raise DataError(f"{path}: damaged ({error}); {cure}") from None
    except Exception as error:  # a file of something else can raise anything in numpy
        fault = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: no table of probes ({fault}); {cure}") from error


def evaluate(
    checkpoint: Path,
    store_path: Path,
    config: EvaluationConfig,
    device: str = "auto",
    submission: Path | None = None,
    on_damage: OnDamage = "error",
) -> dict[str, Any]:
    """Evaluate a final or pre-trained network on the test sequences of a store, its own or not.

    ``config`` holds protocol and settings as given by flags; ``device`` is ``auto``, ``cpu`` or
    ``cuda``; the table to submit is written to ``submission``; ``on_damage`` says what to do about
    damaged sequences (:meth:`GaitStore.open`).  Returns ``network``, ``store``, ``protocol``,
    ``left_out`` (keys of damaged sequences) and the protocol's table.  Raises NasgaitError before
    anything is embedded where the input cannot be used.
    """
    check_options(config, submits=submission is not None, flags=True)
    table = find_protocol(config.protocol).submission
    if submission and not table:
        raise ConfigError(
            f"--submission: only protocol {that_accept('truth')} has unlabelled probes, not "
            f"{config.protocol}"
        )
    store = GaitStore.open(store_path, on_damage)
    test = [i for i, s in enumerate(store.sequences) if s.subset == "test" and s.usable]
    model, saved = load_network(checkpoint)
    reduction(store.size, model.size)
    sequences = [store.sequences[i] for i in evaluated_indices(store, test, config)]
    if not sequences:
        raise DataError(f"{store.path}: no test sequences to evaluate")
    if submission and table:
        check_submission(submission, table, sequences)
    check_sequences(config, sequences)
    with joined(device) as world:
        autocast(world.device, config.precision)
        placed = to_channels_last(model.to(world.device))
        result = evaluate_network(placed, store, test, config, world, submission)
    log_notes(config.protocol, result.notes)
    return {
        "network": saved["arch"] or saved["model_name"],
        "store": str(store.path),
        "protocol": config.protocol,
        "left_out": store.left_out,
        **result.metrics,
    }


def check_submission(path: Path, submission: Submission, test: list[Sequence]) -> None:
    """Refuse, before anything is embedded, a submission that cannot be written."""
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--submission {path}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise ConfigError(f"--submission {path}: cannot be written; give another file")
    if not submission.possible(unembedded(test)):
        raise DataError(
            f"--submission {path}: needs unlabelled probes and {submission.ranks} or more gallery "
            f"sequences of {submission.title} among the test sequences"
        )
