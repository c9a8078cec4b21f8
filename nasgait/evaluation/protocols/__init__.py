"""The protocols, in one list: how embeddings become the numbers that papers publish.

To add a protocol, write its file in this package and put its object into ``PROTOCOLS``.
"""

import difflib
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgait.core.errors import ConfigError
from nasgait.evaluation.evaluation_set import evaluation_set
from nasgait.evaluation.protocols.base import Protocol
from nasgait.evaluation.protocols.by_view import CASIA_B, OUMVLP
from nasgait.evaluation.protocols.cross_view import CASIA_B_CROSS_VIEW, OUMVLP_CROSS_VIEW
from nasgait.evaluation.protocols.gait3d import GAIT3D
from nasgait.evaluation.protocols.grew import GREW
from nasgait.evaluation.protocols.hid import HID
from nasgait.evaluation.protocols.leave_one_out import LEAVE_ONE_OUT

logger = logging.getLogger(__name__)

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        LEAVE_ONE_OUT,
        CASIA_B,
        CASIA_B_CROSS_VIEW,
        OUMVLP,
        OUMVLP_CROSS_VIEW,
        GREW,
        GAIT3D,
        HID,
    )
}
"""Every protocol, by its name."""


def find_protocol(name: str, setting: str = "protocol") -> Protocol:
    """Return the protocol of that name; ConfigError if there is none, naming ``setting``."""
    if name not in PROTOCOLS:
        close = difflib.get_close_matches(name.casefold(), PROTOCOLS, n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"{setting} {name!r}: {meant}known are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def that_accept(option: str) -> str:
    """Names of the protocols that accept an option, in a list for people."""
    return ", ".join(name for name, known in PROTOCOLS.items() if option in known.options)


def evaluate(
    protocol: str,
    embeddings: NDArray[np.float32],
    labels: Sequence[str],
    types: Sequence[str],
    views: Sequence[str],
    metric: str = "euc",
    probes: Sequence[str] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Return a protocol's table in percent.

    The other arguments are the fields of
    :class:`nasgait.evaluation.evaluation_set.EvaluationSet`.  ``gait3d``, ``hid`` and
    ``leave-one-out`` give rank1, rank5, rank10, rank20, map and minp; ``grew`` gives them with
    ``_local`` appended and, with ``truth``, as they are too; the protocols of CASIA-B and
    OU-MVLP give a table for each condition (``nm``, ``bg``, ``cl``) and list those without probes
    as ``missing_conditions``, if there are any.  Where probes have no match, a table has their
    number, ``unmatched_probes``, and the metrics without them, ``matched``.  Logs a warning about
    either.

    Raises:
        ConfigError: unknown protocol or metric, re-ranking where there is none, no list of
            probes for ``gait3d``, or no true labels for ``hid``.
        DataError: NaN embeddings, not one label for each, or sequences that do not fit.
    """
    sequences = evaluation_set(embeddings, labels, types, views, metric, probes, **settings)
    outcome = find_protocol(protocol).evaluate(sequences)
    log_notes(protocol, outcome.notes())
    return outcome.metrics()


def log_notes(protocol: str, notes: Sequence[str]) -> None:
    """Warn of what has to be said beside the metrics of a protocol."""
    for note in notes:
        logger.warning("protocol %s: %s", protocol, note)
