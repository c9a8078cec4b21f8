"""Published results: rank-1 of hand-designed networks, and searched architectures.

Their authors measured them on real people; nasgait only repeats them, for comparison with your own.
"""

from dataclasses import dataclass

ZOO = "OpenGait model zoo (docs/1.model_zoo.md at commit 0efafd4)"


@dataclass(frozen=True)
class Reported:
    """A published result."""

    dataset: str
    """Data set; for CASIA-B with the condition.  Identical views are excluded."""
    rank1: float
    """Percent."""
    source: str = ZOO
    """Where it is stated."""


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
    """Its printed form."""
    dataset: str
    """Data set of its published training."""
    reported: tuple[Reported, ...] = ()
    """Its rank-1, where :attr:`source` states any."""
    source: str = SPOSGAIT
    """Where it is stated."""


SEARCHED: dict[str, Searched] = {
    "sposgait-small": Searched("sposgait-small:0-5-5-4", "GREW"),
    "sposgait-small-casiab": Searched("sposgait-small-casiab:0-5-0-1", "CASIA-B"),
    "sposgait-medium": Searched("sposgait-medium:0-0-4-3-0-3-0", "GREW"),
    "sposgait-large": Searched("sposgait-large:0-0-4-5-2-0-4-3-4-3", "GREW"),
    "sposgait-large-oumvlp": Searched("sposgait-large-oumvlp:0-0-4-5-2-0-4-3-4-3", "OU-MVLP"),
    "sposgait-large-gait3d": Searched("sposgait-large-gait3d:0-0-4-5-2-0-4-3-4-3", "Gait3D"),
}
"""By search space; the large spaces share one architecture's choices."""
