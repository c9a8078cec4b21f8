"""Whether an evaluation's settings and sequences fit its protocol, told before it begins."""

from collections.abc import Iterable

from nasgait.config.schema import EvaluationConfig
from nasgait.core.errors import ConfigError, DataError
from nasgait.data.partition import read_partition
from nasgait.data.store import GaitStore, Sequence
from nasgait.evaluation.evaluation_set import require_both, unembedded
from nasgait.evaluation.protocols import RERANKED, listed_sides, local_sides, require_company
from nasgait.evaluation.submission import BENCHMARKS, identified, read_truth, sides
from nasgait.evaluation.views import PLANS, cast_of

ONLY = {
    "truth": (tuple(BENCHMARKS), "has unlabelled probes"),
    "gallery_ids": (("leave-one-out",), "cuts galleries"),
    "probes": (("gait3d",), "lists its probes"),
    "distractors": (("grew",), "has distractors"),
    "rerank": (RERANKED, "re-ranks"),
}
"""Settings that only some protocols have, and what sets these apart."""


def check_options(config: EvaluationConfig, submits: bool = False, flags: bool = False) -> None:
    """Refuse settings that the protocol has no use for, and files that cannot be read.

    Args:
        config: the settings.
        submits: a submission is written, so that HID does without true labels.
        flags: messages speak of flags (``--gallery-ids``), not of keys of a configuration.

    Raises:
        ConfigError: a setting of another protocol, or one that is missing.
        DataError: a table of true labels or a list of probes that cannot be read.
    """
    protocol = config.protocol
    for name, (protocols, why) in ONLY.items():
        if getattr(config, name) and protocol not in protocols:
            raise ConfigError(
                f"{spelled(name, flags)}: only protocol {', '.join(protocols)} {why}, "
                f"not {protocol}"
            )
    if protocol == "hid" and not (config.truth or submits):
        cure = f"give {spelled('truth', flags)}" + (" or --submission" if flags else "")
        raise ConfigError(
            f"{spelled('protocol', flags)} hid: its probes are unlabelled, so there is nothing to "
            f"score; {cure}"
        )
    if protocol == "gait3d":
        if not config.probes:
            raise ConfigError(
                f"{spelled('probes', flags)}: protocol gait3d needs the list of its probes; give "
                "OpenGait's Gait3D.json"
            )
        read_probe_list(config.probes)
    if config.truth:
        read_truth(config.truth)


def judged(store: GaitStore, indices: list[int], config: EvaluationConfig) -> list[int]:
    """Which sequences of a store are judged.

    Args:
        store: silhouettes.
        indices: the test sequences.
        config: its protocol leaves unlabelled ones out, or it asks for distractors too.
    """
    rows = store.sequences
    if config.distractors:
        crowd = [i for i, row in enumerate(rows) if row.subset == "distractor" and row.length]
        indices = indices + crowd
    if config.protocol not in BENCHMARKS:
        indices = [index for index in indices if rows[index].labelled]
    return indices


def check_sequences(config: EvaluationConfig, sequences: Iterable[Sequence]) -> None:
    """Refuse sequences that the protocol cannot judge, before anything is trained or embedded.

    Args:
        config: settings that :func:`check_options` let pass.
        sequences: what :func:`judged` chose.

    Raises:
        DataError: probes or gallery sequences are missing, altogether or from a view, or
            probes without a true label where there is a table of them.
    """
    probes = read_probe_list(config.probes) if config.probes else None
    subject = unembedded(sequences, probes, config.distractors)
    if config.protocol in PLANS:
        cast_of(subject, config.protocol)
    elif config.protocol == "gait3d":
        listed_sides(subject)
    elif config.protocol == "grew":
        local_sides(subject)
    elif config.protocol == "hid":
        require_both(subject, *sides(subject, "hid"), BENCHMARKS["hid"].title)
    else:
        require_company(subject)
    if config.truth:
        truth = read_truth(config.truth)
        try:
            identified(subject, truth, config.protocol)
        except DataError as error:
            raise DataError(f"{config.truth}: {error}") from None


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
