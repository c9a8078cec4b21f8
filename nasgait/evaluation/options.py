"""Checks that settings and sequences fit the protocol, made before anything is embedded."""

from collections.abc import Iterable
from typing import Any

from nasgait.config.schema import EvaluationConfig
from nasgait.core.errors import ConfigError, DataError
from nasgait.data.partition import read_partition
from nasgait.data.split import HasSequences
from nasgait.data.store import Sequence
from nasgait.evaluation.evaluation_set import unembedded
from nasgait.evaluation.protocols import find_protocol, that_accept
from nasgait.evaluation.protocols.base import OPTIONS
from nasgait.evaluation.submission import read_truth


def check_options(config: EvaluationConfig, submits: bool = False, flags: bool = False) -> None:
    """Refuse an unknown protocol, settings that it does not take, and unreadable files.

    Args:
        config: the settings.
        submits: a submission is written, so that true labels are not required.
        flags: messages name flags (``--gallery-ids``), not keys of a configuration.

    Raises:
        ConfigError: unknown protocol, a setting of another protocol, or a missing one.
        DataError: a table of true labels or a list of probes that cannot be read.
    """
    protocol = find_protocol(config.protocol, spelled("protocol", flags))
    for option, distinction in OPTIONS.items():
        if getattr(config, option) and option not in protocol.options:
            raise ConfigError(
                f"{spelled(option, flags)}: only protocol {that_accept(option)} {distinction}, "
                f"not {protocol.name}"
            )
    for option, advice in protocol.required.items():
        if not (getattr(config, option) or (option == "truth" and submits)):
            instead = " or --submission" if flags and option == "truth" else ""
            raise ConfigError(
                f"{spelled(option, flags)}: protocol {protocol.name} {advice}{instead}"
            )
    if config.probes:
        read_probe_list(config.probes)
    if config.truth:
        read_truth(config.truth)


def evaluated_indices(
    store: HasSequences, indices: list[int], config: EvaluationConfig
) -> list[int]:
    """Of the store's test sequences ``indices``, return those that are evaluated.

    Distractors are added if wanted; unlabelled ones are left out unless the protocol has any.
    """
    rows = store.sequences
    if config.distractors:
        extra = [i for i, row in enumerate(rows) if row.subset == "distractor" and row.usable]
        indices = indices + extra
    if not find_protocol(config.protocol).submission:
        indices = [index for index in indices if rows[index].labelled]
    return indices


def check_sequences(config: EvaluationConfig, sequences: Iterable[Sequence]) -> None:
    """Check the sequences that :func:`evaluated_indices` chose against the protocol.

    Raises:
        DataError: probes or gallery sequences are missing, altogether or from a view, or
            probes without a true label where true labels are given.
    """
    protocol = find_protocol(config.protocol)
    known = unembedded(sequences, **settings_of(config))
    protocol.probes_and_gallery(known)
    if known.truth and protocol.submission:
        try:
            protocol.submission.with_true_labels(known)
        except DataError as error:
            raise DataError(f"{config.truth}: {error}") from None


def settings_of(config: EvaluationConfig) -> dict[str, Any]:
    """Arguments of an evaluation set that stand in the settings or in files that these name."""
    plain = ("metric", "gallery_ids", "distractors", "rerank")
    return {name: getattr(config, name) for name in plain} | {
        "probes": read_probe_list(config.probes) if config.probes else None,
        "truth": read_truth(config.truth) if config.truth else None,
    }


def read_probe_list(path: str) -> frozenset[str]:
    """The keys ``id-type-view`` in the PROBE_SET of a partition JSON.

    Raises:
        DataError: no readable partition file, or one without probes.
    """
    probes = read_partition(path).probes
    if not probes:
        raise DataError(
            f"{path}: no PROBE_SET, the list of the probes; give OpenGait's Gait3D.json"
        )
    return probes


def spelled(name: str, flags: bool) -> str:
    """A setting as a flag of ``nasgait eval``, or as a key of a configuration."""
    return "--" + name.replace("_", "-") if flags else f"evaluation.{name}"
