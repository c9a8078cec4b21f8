"""Judge a trained network on the test sequences of a store: ``nasgait eval``."""

import argparse
import json
import logging
import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from nasgait.config.load import validate
from nasgait.config.schema import EvaluationConfig
from nasgait.data.store import GaitStore
from nasgait.engine.distributed import joined
from nasgait.engine.precision import autocast, to_channels_last
from nasgait.errors import ConfigError, DataError
from nasgait.evaluation.embed import embed
from nasgait.evaluation.protocols import Outcome, judge
from nasgait.evaluation.submission import can_submit, judge_probes, read_truth, submit
from nasgait.nn.output import GaitNetwork
from retrain.subject import load_network

logger = logging.getLogger(__name__)

CMC_RANKS = 20


@dataclass(frozen=True)
class Probes:
    """What became of each probe, for statistics over networks and seeds."""

    labels: NDArray[np.str_]
    """[k] identities."""
    hits: NDArray[np.float64]
    """[k] 1 where the nearest gallery sequence is right."""
    ap: NDArray[np.float64]
    """[k] average precision, 0..1."""


@dataclass(frozen=True)
class Verdict:
    """A network's result: its table, and its probes one by one."""

    table: dict[str, Any]
    """Rates in percent, ``cmc`` among them."""
    probes: Probes


def judge_network(
    model: GaitNetwork,
    store: GaitStore,
    indices: list[int],
    config: EvaluationConfig,
    device: str = "cpu",
    submission: Path | None = None,
) -> Verdict:
    """Embed test sequences and judge them by the protocol of ``config``.

    With the protocol ``grew`` and a truth file, the unlabelled probes are scored
    against the whole gallery (``rank1``, ``map``, ...) beside gallery 01 against
    probe 02 (``rank1_local``, ...); without one only the latter can be known.

    Args:
        model: the network, on ``device``.
        store: silhouettes.
        indices: sequences of the store to judge.
        config: protocol, metric, galleries.
        device: where the model is.
        submission: write GREW's submission table there, if the protocol is grew and the store
            has what it takes.

    Raises:
        DataError: no sequences, or none that the protocol can use.
    """
    if config.protocol != "grew":
        indices = [index for index in indices if store.sequences[index].labelled]
    if not indices:
        raise DataError(f"{store.path}: no test sequences to judge")
    embeddings = embed(
        model,
        store,
        indices,
        model.size,
        config.max_frames,
        device,
        config.precision,
        progress=True,
    )
    sequences = [store.sequences[index] for index in indices]
    labels = [sequence.label for sequence in sequences]
    types = [sequence.type for sequence in sequences]
    views = [sequence.view for sequence in sequences]
    known = (embeddings, labels, types, views)
    outcome = judge(config.protocol, *known, config.metric, gallery_ids=config.gallery_ids)
    table = outcome.rates()
    if config.truth:
        outcome = judge_probes(*known, read_truth(config.truth), config.metric)
        table |= outcome.rates()
    if submission and config.protocol == "grew":
        if can_submit(types):
            count = submit(submission, *known, config.metric)
            logger.info("%s: %d probes", submission, count)
        else:
            logger.warning("no submission: it needs probes of type 03 and a gallery of 20 or more")
    return Verdict({**table, "cmc": outcome.cmc(CMC_RANKS).tolist()}, probes_of(outcome))


def probes_of(outcome: Outcome) -> Probes:
    """What statistics need of an outcome."""
    found = outcome.retrieval
    return Probes(outcome.labels, (found.first_hit == 0).astype(np.float64), found.ap)


def write_probes(path: Path, probes: Probes) -> None:
    """Write the probes as plain arrays; the file appears whole or not at all."""
    temporary = path.with_name(f".{path.name}")
    with temporary.open("wb") as file:
        np.savez_compressed(file, labels=probes.labels, hits=probes.hits, ap=probes.ap)
    os.replace(temporary, path)


def read_probes(path: Path) -> Probes:
    """Read what :func:`write_probes` wrote; DataError for anything else."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Probes(arrays["labels"], arrays["hits"], arrays["ap"])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(f"{path}: no table of probes ({error}); judge the network again") from error


def run(args: argparse.Namespace) -> int:
    """Judge a checkpoint on a store, its own or another."""
    if args.protocol != "grew" and (args.submission or args.truth):
        raise ConfigError("--submission and --truth: only --protocol grew has unlabelled probes")
    if args.protocol == "grew" and args.gallery_ids:
        raise ConfigError("--gallery-ids: only --protocol leave-one-out cuts galleries")
    if args.truth:
        read_truth(args.truth)
    given = {field.name: getattr(args, field.name) for field in fields(EvaluationConfig)}
    config = validate(given, EvaluationConfig, "nasgait eval")
    store = GaitStore.open(args.store)
    test = [i for i, s in enumerate(store.sequences) if s.subset == "test" and s.length]
    model, saved = load_network(args.checkpoint)
    if args.submission:
        check_submission(Path(args.submission), [store.sequences[i].type for i in test])
    with joined(args.device) as world:
        autocast(world.device, config.precision)
        verdict = judge_network(
            to_channels_last(model.to(world.device)),
            store,
            test,
            config,
            device=str(world.device),
            submission=Path(args.submission) if args.submission else None,
        )
    name = saved["arch"] or saved["model_name"]
    report = {"network": name, "store": str(store.path), "protocol": args.protocol}
    if args.json:
        json.dump(report | verdict.table, sys.stdout)
        print()
    else:
        print("\n".join(text_table(report | verdict.table)))
    return 0


def check_submission(path: Path, types: list[str]) -> None:
    """Refuse, before anything is embedded, a submission that cannot be written."""
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--submission {path}: there is no folder {path.parent}")
    if not can_submit(types):
        raise DataError(
            f"--submission {path}: needs unlabelled probes (type 03) and a gallery of 20 or more "
            "sequences (types 01, 02) among the test sequences"
        )


def text_table(values: dict[str, Any]) -> list[str]:
    """Names and values in two columns; the curve is left to ``--json``."""
    rows = {name: value for name, value in values.items() if name != "cmc"}
    width = max(map(len, rows))
    return [
        f"{name:{width}}  {value:.2f} %" if isinstance(value, float) else f"{name:{width}}  {value}"
        for name, value in rows.items()
    ]
