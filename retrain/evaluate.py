"""Judge a trained network on the test sequences of a store: ``nasgait eval``."""

import argparse
import json
import logging
import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from nasgait.config.load import validate
from nasgait.config.schema import EvaluationConfig
from nasgait.core.distributed import World, joined
from nasgait.core.errors import ConfigError, DataError
from nasgait.core.files import write_atomically
from nasgait.core.precision import autocast
from nasgait.data.store import GaitStore, Sequence
from nasgait.data.transforms import reduction
from nasgait.evaluation.embed import embed_shared
from nasgait.evaluation.evaluation_set import Outcome, Trial, trial, unembedded
from nasgait.evaluation.options import check_options, check_sequences, judged, read_probe_list
from nasgait.evaluation.protocols import PROTOCOLS, judge
from nasgait.evaluation.submission import BENCHMARKS, can_submit, judge_probes, read_truth, submit
from nasgait.nn.base import GaitNetwork
from nasgait.nn.memory_format import to_channels_last
from retrain.network_spec import load_network

logger = logging.getLogger(__name__)

CMC_RANKS = 20


@dataclass(frozen=True)
class Probes:
    """What became of each probe, for statistics over networks and seeds."""

    labels: NDArray[np.str_]
    """[k] identities."""
    hits: NDArray[np.float64]
    """[k] 1 where the nearest gallery sequence is right; with a gallery for each view, the share
    of galleries where it is."""
    ap: NDArray[np.float64]
    """[k] average precision, 0..1."""


@dataclass(frozen=True)
class Verdict:
    """A network's result: its table, and its probes one by one."""

    table: dict[str, Any]
    """Rates in percent: the protocol's own table, single figures to compare networks by
    (``rank1``, ``rank5``, ``map``; means over the conditions where there are any), ``cmc``."""
    probes: Probes


def judge_network(
    model: GaitNetwork,
    store: GaitStore,
    indices: list[int],
    config: EvaluationConfig,
    world: World,
    submission: Path | None = None,
) -> Verdict:
    """Embed test sequences and judge them by the protocol of ``config``.

    With the protocol ``grew`` and a truth file, the unlabelled probes are scored
    against the whole gallery (``rank1``, ``map``, ...) beside gallery 01 against
    probe 02 (``rank1_local``, ...); without one only the latter can be known.
    Without one nothing at all can be known of ``hid``: the table is empty.

    Args:
        model: the network, on the device of ``world``.
        store: silhouettes.
        indices: sequences of the store to judge; distractors are added if they are wanted.
        config: protocol, metric, galleries.
        world: ranks that share the embedding: all of them call this, and have the verdict.
        submission: write the submission table there, if the protocol has one and the store
            has what it takes.

    Raises:
        ConfigError: settings that do not fit the protocol.
        DataError: no sequences, or none that the protocol can use.
    """
    check_options(config, submits=submission is not None)
    indices = judged(store, indices, config)
    if not indices:
        raise DataError(f"{store.path}: no test sequences to judge")
    embeddings = embed_shared(
        model,
        store,
        indices,
        model.size,
        world,
        config.max_frames,
        config.precision,
        progress=True,
    )
    rows = [store.sequences[index] for index in indices]
    subject = trial(
        embeddings,
        [row.label for row in rows],
        [row.type for row in rows],
        [row.view for row in rows],
        config.metric,
        sorted(read_probe_list(config.probes)) if config.probes else None,
        config.gallery_ids,
        config.distractors,
        config.rerank,
    )
    if submission and config.protocol in BENCHMARKS:
        write_submission(submission, subject, config.protocol)
    return score(subject, config)


def score(subject: Trial, config: EvaluationConfig) -> Verdict:
    """Judge embedded sequences; raises as :func:`judge_network` does."""
    table: dict[str, Any] = {}
    outcomes: list[Outcome] = []
    if config.protocol in PROTOCOLS:
        outcomes.append(judge(config.protocol, subject))
    if config.truth:
        outcomes.append(judge_probes(subject, read_truth(config.truth), config.protocol))
    for outcome in outcomes:
        table |= outcome.rates() | outcome.summary()
    if not outcomes:
        return Verdict(table, Probes(np.array([], np.str_), np.array([]), np.array([])))
    # The benchmark's own probes, where they can be scored, are those that count.
    return Verdict({**table, "cmc": outcomes[-1].cmc(CMC_RANKS).tolist()}, probes_of(outcomes[-1]))


def write_submission(path: Path, subject: Trial, benchmark: str) -> None:
    """Write the benchmark's table, or say why there is none."""
    if can_submit(benchmark, subject):
        logger.info("%s: %d probes", path, submit(path, subject, benchmark))
    else:
        logger.warning("no submission: %s has no probes, or too small a gallery", benchmark)


def probes_of(outcome: Outcome) -> Probes:
    """What statistics need of an outcome."""
    return Probes(outcome.labels, outcome.hits, outcome.ap)


def write_probes(path: Path, probes: Probes) -> None:
    """Write the probes as plain arrays; the file appears whole or not at all."""

    def write(file: BinaryIO) -> None:
        np.savez_compressed(file, labels=probes.labels, hits=probes.hits, ap=probes.ap)

    write_atomically(path, write)


def read_probes(path: Path) -> Probes:
    """Read what :func:`write_probes` wrote; DataError for anything else."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Probes(arrays["labels"], arrays["hits"], arrays["ap"])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise DataError(f"{path}: no table of probes ({error}); judge the network again") from error


def run(args: argparse.Namespace) -> int:
    """Judge a checkpoint on a store, its own or another."""
    given = {field.name: getattr(args, field.name) for field in fields(EvaluationConfig)}
    config = validate(given, EvaluationConfig, "nasgait eval")
    if args.submission and config.protocol not in BENCHMARKS:
        raise ConfigError(
            f"--submission: only protocol {', '.join(BENCHMARKS)} has unlabelled probes, not "
            f"{config.protocol}"
        )
    check_options(config, submits=bool(args.submission), flags=True)
    store = GaitStore.open(args.store)
    test = [i for i, s in enumerate(store.sequences) if s.subset == "test" and s.length]
    model, saved = load_network(args.checkpoint)
    reduction(store.size, model.size)
    sequences = [store.sequences[i] for i in judged(store, test, config)]
    if not sequences:
        raise DataError(f"{store.path}: no test sequences to judge")
    if args.submission:
        check_submission(Path(args.submission), config.protocol, sequences)
    check_sequences(config, sequences)
    with joined(args.device) as world:
        autocast(world.device, config.precision)
        verdict = judge_network(
            to_channels_last(model.to(world.device)),
            store,
            test,
            config,
            world,
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


def check_submission(path: Path, protocol: str, test: list[Sequence]) -> None:
    """Refuse, before anything is embedded, a submission that cannot be written."""
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--submission {path}: there is no folder {path.parent}")
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise ConfigError(f"--submission {path}: cannot be written; give another file")
    if not can_submit(protocol, unembedded(test)):
        rules = BENCHMARKS[protocol]
        raise DataError(
            f"--submission {path}: needs unlabelled probes and {rules.ranks} or more gallery "
            f"sequences of {rules.title} among the test sequences"
        )


def text_table(values: dict[str, Any]) -> list[str]:
    """Names and values in two columns, tables within tables indented; the curve is left out."""
    rows = {name: value for name, value in values.items() if name != "cmc"}
    width = max(map(len, rows))
    lines = []
    for name, value in rows.items():
        if isinstance(value, dict):
            lines += [name, *(f"  {line}" for line in text_table(value))]
        elif isinstance(value, float):
            lines.append(f"{name:{width}}  {value:.2f} %")
        else:
            lines.append(f"{name:{width}}  {value}")
    return lines
