"""Whether the settings of an evaluation fit its protocol, told before anything is embedded."""

from collections.abc import Iterable

import numpy as np

from nasgait.config.schema import EvaluationConfig
from nasgait.data.partition import find_partition
from nasgait.data.store import Sequence
from nasgait.errors import ConfigError, DataError
from nasgait.evaluation.protocols import RERANKED, listed_probes
from nasgait.evaluation.submission import BENCHMARKS, read_truth
from nasgait.evaluation.trial import Trial
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


def check_sequences(config: EvaluationConfig, test: Iterable[Sequence]) -> None:
    """Refuse test sequences that ``casia-b``, ``oumvlp`` or ``gait3d`` cannot judge.

    Raises:
        DataError: probes or gallery sequences are missing, altogether or from a view.
    """
    rows = [(s.label, s.type, s.view) for s in test if s.labelled]
    labels, types, views = np.array(rows, dtype=np.str_).reshape(-1, 3).T
    probes = read_probe_list(config.probes) if config.probes else None
    unembedded = np.empty((len(rows), 0, 0), np.float32)
    subject = Trial(unembedded, labels, types, views, config.metric, probes)
    if config.protocol in PLANS:
        cast_of(subject, config.protocol)
    elif config.protocol == "gait3d":
        listed_probes(subject)


def read_probe_list(path: str) -> frozenset[str]:
    """The keys ``id-type-view`` in the PROBE_SET of a partition JSON.

    Raises:
        DataError: no readable partition file, or one without probes.
    """
    probes = find_partition(path).probes
    if not probes:
        raise DataError(
            f"{path}: no PROBE_SET, the list of the probes; give OpenGait's Gait3D.json"
        )
    return probes


def spelled(name: str, flags: bool) -> str:
    """A setting as a flag of ``nasgait eval``, or as a key of a configuration."""
    return "--" + name.replace("_", "-") if flags else f"evaluation.{name}"
