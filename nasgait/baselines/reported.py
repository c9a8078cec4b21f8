"""Rank-1 figures that others have published for the hand-designed networks.

They were measured by their authors on people, not here: nasgait repeats them so that a
figure of one's own has something to stand beside.
"""

from dataclasses import dataclass

ZOO = "OpenGait model zoo (docs/1.model_zoo.md at commit 0efafd4)"


@dataclass(frozen=True)
class Reported:
    """A published result."""

    dataset: str
    """Data set; of CASIA-B also the condition.  Identical views are excluded."""
    rank1: float
    """Percent."""
    source: str = ZOO
    """Where it stands."""


def _casia_b(normal: float, bag: float, coat: float) -> tuple[Reported, ...]:
    return (
        Reported("CASIA-B NM", normal),
        Reported("CASIA-B BG", bag),
        Reported("CASIA-B CL", coat),
    )


REPORTED: dict[str, tuple[Reported, ...]] = {
    "gaitset": _casia_b(95.8, 90.0, 75.4),
    "gaitset-grew": (Reported("GREW", 48.4), Reported("OU-MVLP", 87.2)),
    "gaitpart": _casia_b(96.1, 90.7, 78.7),
    "gaitpart-grew": (Reported("GREW", 47.6), Reported("OU-MVLP", 88.6)),
    # The zoo's figures are those of the first phase: without the compact block.
    "gln": _casia_b(96.4, 93.1, 81.0),
    "gaitgl": _casia_b(97.4, 94.5, 83.8),
    "gaitgl-grew": (Reported("GREW", 41.5), Reported("OU-MVLP", 89.9)),
    "gaitgl-grew-bnneck": (Reported("GREW", 51.7),),
    "gaitbase": (
        Reported("GREW", 60.1),
        Reported("Gait3D", 64.6),
        Reported("OU-MVLP", 90.8),
        *_casia_b(97.6, 94.0, 77.4),
    ),
    "deepgaitv2-grew": (Reported("Gait3D", 74.4),),
    "deepgaitv2-3d": (Reported("GREW", 79.4),),
}
"""By the name of the network in ``nasgait models``."""
