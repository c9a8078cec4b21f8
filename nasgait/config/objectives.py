"""What a search optimises: metrics go up, costs go down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nasgait.core.errors import ConfigError

COSTS = ("macs", "params", "latency")
"""Values of which less is better; any other value is a metric, of which more is better."""


class Scored(Protocol):
    """An architecture with its values by name, as a ledger holds them."""

    @property
    def values(self) -> Mapping[str, float]:
        """Metrics in percent, and costs."""


@dataclass(frozen=True)
class Objectives:
    """The values that a search optimises, by their names in the ledger.

    Raises ConfigError for a name given twice, and when there is no metric among them.
    """

    names: tuple[str, ...]
    """One for a search by that metric, more for their trade-offs."""

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ConfigError(f"objectives {', '.join(self.names)}: one is given twice")
        if not self.metrics:
            given = ", ".join(self.names) or "none"
            raise ConfigError(f"objectives {given}: need a metric among them, map or rank1")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of which more is better."""
        return tuple(name for name in self.names if name not in COSTS)

    @property
    def costs(self) -> tuple[str, ...]:
        """Those of which less is better."""
        return tuple(name for name in self.names if name in COSTS)

    @property
    def metric(self) -> str:
        """The metric that decides which single architecture is the best: the first one."""
        return self.metrics[0]

    def vectors(self, entries: Sequence[Scored]) -> list[tuple[float, ...]]:
        """The objectives of each entry, all to be minimised: metrics change their sign."""
        return [
            tuple(e.values[n] if n in COSTS else -e.values[n] for n in self.names) for e in entries
        ]
