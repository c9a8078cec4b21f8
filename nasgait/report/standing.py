"""Who won: the best network of all and the best within the budget, in sentences."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nasgait.report import formatting
from nasgait.report.results import Result, metric_key, ordered, within_budget

METRIC_NAMES = {"map": "mAP", "rank1": "rank-1", "rank5": "rank-5"}
ROLES = {
    "searched": "searched network",
    "baseline": "hand-designed network",
    "random": "random architecture",
    "uniform": "uniform architecture",
}


@dataclass(frozen=True)
class Standing:
    """Networks ordered by the run's objective."""

    key: str
    """The metric that orders them."""
    ranked: list[Result]
    """Those that have the metric, best first."""
    within: dict[str, bool | None]
    """Whether each keeps the budget, None where that is not known."""
    limited: bool
    """Whether there is a budget."""

    @classmethod
    def of(
        cls,
        networks: Sequence[Result],
        metric: str,
        limits: Mapping[str, float],
        frames: int | None = None,
    ) -> "Standing":
        """From entries of ``results.json``; ``frames`` are those that MACs are limited at."""
        key = metric_key(networks, metric)
        within = {entry["name"]: within_budget(entry, limits, frames) for entry in networks}
        return cls(key, ordered(networks, key), within, bool(limits))

    @property
    def best(self) -> Result | None:
        """The best of all; None where no network has the metric."""
        return self.ranked[0] if self.ranked else None

    @property
    def best_within(self) -> Result | None:
        """The best of those known to keep the budget."""
        return next((entry for entry in self.ranked if self.within[entry["name"]]), None)

    @property
    def tied(self) -> list[str]:
        """Names of the networks that print the same as the best one."""
        printed = [(entry["name"], formatting.percent(entry[self.key])) for entry in self.ranked]
        return [name for name, value in printed[1:] if value == printed[0][1]]

    def sentences(self, budget: str) -> Iterator[str]:
        """The best of all, the best within the ``budget`` (in words), and who else is asked for.

        Intervals and differences are told where the entries have them.
        """
        if self.best is None:
            return
        by = METRIC_NAMES[self.key.removesuffix("_local")]
        if all(entry["kind"] == "baseline" for entry in self.ranked):
            best = f"Best hand-designed network by {by}: {self._described(self.best, False)}"
        else:
            best = f"Best of all by {by}: {self._described(self.best)}"
        yield f"{best}{self._rest()}."
        told = [self.best["name"]]
        if self.limited and self.best_within is None:
            yield f"No network is known to keep the budget ({budget})."
        elif self.limited and self.best_within is not self.best and self.best_within:
            described = self._described(self.best_within)
            gap = difference(self.best_within)
            yield f"Best within the budget ({budget}): {described}{gap}."
            told.append(self.best_within["name"])
        titles = {"searched": "Searched network", "baseline": "Best hand-designed network"}
        for kind, title in titles.items():
            one = next((entry for entry in self.ranked if entry["kind"] == kind), None)
            if one and not any(e["kind"] == kind for e in self.ranked if e["name"] in told):
                place = f"place {self.ranked.index(one) + 1} of {len(self.ranked)}"
                kept = self._kept(one)
                yield f"{title}, {place}: {self._described(one, False)}{kept}{difference(one)}."
        yield from self._caveat()

    def _described(self, entry: Result, with_role: bool = True) -> str:
        """A network with its metrics and costs."""
        local = "_local" if self.key.endswith("_local") else ""
        rank1, precision = (
            f"{METRIC_NAMES[name]} {formatting.percent(entry.get(name + local))} %"
            + (formatting.interval(entry.get("interval")) if name + local == self.key else "")
            for name in ("rank1", "map")
        )
        # Several networks may be one model with different settings: only their names differ.
        design = entry.get("arch") or entry.get("model")
        title = entry["name"] if entry["kind"] == "baseline" else design or entry["name"]
        role = f"{ROLES.get(entry['kind'], entry['kind'])} " if with_role else ""
        return (
            f"{role}{title}: {rank1}, {precision}, {formatting.amount(entry.get('macs'))} MACs, "
            f"{formatting.amount(entry.get('params'))} params"
        )

    def _kept(self, entry: Result) -> str:
        """Whether the network keeps the budget, in words."""
        if not self.limited:
            return ""
        words = {True: "within the budget", False: "over the budget"}
        kept = self.within[entry["name"]]
        unknown = "whether it keeps the budget is not known"
        return f"; {unknown if kept is None else words[kept]}"

    def _rest(self) -> str:
        """Of the best: its budget, those that tie with it, or who comes next."""
        assert self.best is not None, "there is a best one"
        kept = self._kept(self.best)
        if self.tied:
            others = [e for e in self.ranked[1:] if e["name"] in self.tied]
            level = ", ".join(f"{e['name']}{difference(e, ' at ')}" for e in others)
            return f"{kept}; to one decimal as good: {level}"
        if len(self.ranked) == 1:
            return kept
        second = self.ranked[1]
        return f"{kept}; next {second['name']}{difference(second, ' at ')}"

    def _caveat(self) -> Iterator[str]:
        """What the intervals do not hold."""
        if not any(entry.get("interval") for entry in self.ranked):
            return
        counts = [len(entry.get("seeds") or ()) for entry in self.ranked]
        fewest, most = min(counts), max(counts)
        number = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        only = "one training of each" if most == 1 else f"{number} trainings of each"
        yield (
            f"Brackets are 95 % intervals over the test identities, for {only}: other seeds move "
            "the metrics beyond them, and the best of many is in part luck."
        )


def difference(entry: Result, before: str = "; against the best of all ") -> str:
    """A network's difference to the best, and whether it could be chance; empty if not known."""
    gap = entry.get("against_best")
    if not gap:
        return ""
    chance = (
        ", which the test identities cannot tell apart" if gap["low"] <= 0 <= gap["high"] else ""
    )
    return f"{before}{gap['mean']:+.1f} [{gap['low']:+.1f}, {gap['high']:+.1f}]{chance}"
