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


def casia_b(normal: float, bag: float, coat: float) -> tuple[Reported, ...]:
    """Rank-1 in percent of the three conditions of CASIA-B."""
    return (
        Reported("CASIA-B NM", normal),
        Reported("CASIA-B BG", bag),
        Reported("CASIA-B CL", coat),
    )


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
