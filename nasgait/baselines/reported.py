"""What others have published: rank-1 figures of hand-designed networks, searched architectures.

The figures were measured by their authors on people, not here: nasgait repeats them so that
one's own have something to stand beside.
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

SPOSGAIT = "SPOSGait (README.md and configs at commit ad2d421)"


@dataclass(frozen=True)
class Searched:
    """A published architecture."""

    arch: str
    """In print."""
    dataset: str
    """That its published training is for."""
    reported: tuple[Reported, ...] = ()
    """Its rank-1 figures, where :attr:`source` states any."""
    source: str = SPOSGAIT
    """Where the architecture stands."""


SEARCHED: dict[str, Searched] = {
    "sposgait-small": Searched("sposgait-small:0-5-5-4", "GREW"),
    "sposgait-small-casiab": Searched("sposgait-small-casiab:0-5-0-1", "CASIA-B"),
    "sposgait-medium": Searched("sposgait-medium:0-0-4-3-0-3-0", "GREW"),
    "sposgait-large": Searched("sposgait-large:0-0-4-5-2-0-4-3-4-3", "GREW"),
    "sposgait-large-oumvlp": Searched("sposgait-large-oumvlp:0-0-4-5-2-0-4-3-4-3", "OU-MVLP"),
    "sposgait-large-gait3d": Searched("sposgait-large-gait3d:0-0-4-5-2-0-4-3-4-3", "Gait3D"),
}
"""By the space; the large ones share their choices."""
