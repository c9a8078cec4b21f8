"""Where a search stands: what is bred, what is scored, what waits to be scored.

The same for every backend: take what is :meth:`SearchState.ready`, score it anywhere and in any
order, and :meth:`~SearchState.record` each score.  Only the ledger is kept: a resumed search breeds
again and takes the scores from the ledger's lines, whatever their order.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nasgait.core.errors import DataError, RunFailed
from nasgait.search.budget import Choices
from nasgait.search.evolution import ArchitectureBatch, Evolution
from nasgait.search.ledger import Ledger, LedgerEntry

ScoreAll = Callable[[Sequence[Choices]], Iterable[tuple[Choices, Mapping[str, float], float]]]
"""Scores architectures together; yields each with its metrics and its share of the time [s]."""


@dataclass(frozen=True)
class Generation:
    """One scored generation."""

    number: int
    """0 is the first, random one."""
    entries: tuple[LedgerEntry, ...]
    """Its architectures in the order they were bred."""
    repeats: int = 0
    """Affordable candidates that had been bred before."""
    passed_over: int = 0
    """Affordable new candidates that lost to more promising ones."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found; the same on every backend, whether resumed or not."""

    ranking: tuple[LedgerEntry, ...]
    """Every scored architecture, best first; equal scores rank the cheaper one first."""
    generations: tuple[Generation, ...]
    """The generations in turn."""
    ended_early: str | None
    """Why there are fewer architectures than asked for, if there are."""

    @property
    def best(self) -> LedgerEntry:
        """The winner."""
        return self.ranking[0]


class SearchState:
    """The state of ``evolution`` according to ``ledger``, and its continuation.

    Lines may have been removed from the ledger: their architectures are scored again, and the
    lines that depend on them wait until it is known what is bred.  Raises DataError as soon as a
    line proves to belong to another search (seed, budget, settings or costs differ).  A ledger
    that lacks no line is checked completely here, and left untouched if it is refused.
    """

    def __init__(self, evolution: Evolution, ledger: Ledger) -> None:
        self.evolution = evolution
        self.ledger = ledger
        self._announce: Callable[[Generation], None] = lambda generation: None
        self._batches: list[ArchitectureBatch] = []
        self._batch_of: dict[Choices, ArchitectureBatch] = {}  # everything bred, in order
        self._scored: dict[Choices, LedgerEntry] = {}
        # A longer search may be resumed with fewer epochs: later entries are left alone.
        last = evolution.config.max_epochs
        self._not_bred = {e.choices: e for e in ledger.entries if e.generation <= last}
        self._complete = 0  # leading batches that are scored
        self._generations: list[Generation] = []
        self._advance()

    def follow(self, announce: Callable[[Generation], None]) -> None:
        """Call ``announce`` with each generation that is complete, now and later."""
        for generation in self._generations:
            announce(generation)
        self._announce = announce

    @property
    def done(self) -> bool:
        """Whether everything is bred and scored."""
        return self._all_bred and len(self._scored) == len(self._batch_of)

    @property
    def scored(self) -> int:
        """The number of architectures whose score is in the ledger."""
        return len(self._scored) + len(self._not_bred)

    def ready(self) -> list[Choices]:
        """What is bred and not scored, in breeding order; never empty until the search is done."""
        return [choices for choices in self._batch_of if choices not in self._scored]

    def generation(self, choices: Choices) -> int:
        """The generation that an architecture was bred in; KeyError if it was not."""
        return self._batch_of[choices].generation

    def record(self, choices: Choices, metrics: Mapping[str, float], seconds: float) -> LedgerEntry:
        """Write a score to the ledger and breed what it allows to be bred.

        Args:
            choices: the architecture.
            metrics: its metrics in percent, by name.
            seconds: how long scoring took.

        Raises:
            RunFailed: a metric is not finite, or one that is an objective is missing.
            DataError: the architecture was scored before.
            KeyError: it was not bred.
        """
        generation = self.generation(choices)
        values = {name: float(value) for name, value in metrics.items()}
        if not self._metrics <= values.keys() or not all(map(math.isfinite, values.values())):
            raise RunFailed(
                f"architecture {_key(choices)} scored {values}: expected finite "
                f"numbers with {' and '.join(map(repr, sorted(self._metrics)))} among them"
            )
        entry = LedgerEntry(choices, generation, values | self.evolution.costs(choices), seconds)
        self.ledger.append(entry)
        self._scored[choices] = entry
        self._advance()
        return entry

    def result(self) -> SearchResult:
        """What was found so far; the whole result once the search is done."""
        ranking = self.evolution.rank(list(self._scored.values()))
        last = self._batches[-1]
        epochs = self.evolution.config.max_epochs
        early = last.short and f"{last.short} (in generation {last.generation} of {epochs})"
        return SearchResult(ranking, tuple(self._generations), early)

    @property
    def _metrics(self) -> set[str]:
        return set(self.evolution.objectives.metrics)

    @property
    def _all_bred(self) -> bool:
        bred = self._batches
        return bool(bred) and (bred[-1].short is not None or len(bred) == self.evolution.total)

    def _take_score(self, entry: LedgerEntry) -> None:
        """Take the score of an architecture that has just been bred from its ledger line."""
        if self.generation(entry.choices) != entry.generation or not self._agrees(entry):
            raise self._foreign(entry)
        self._scored[entry.choices] = entry

    def _refuse_foreign_entries(self) -> None:
        """DataError if the ledger has more of a generation than is still to be bred of it."""
        if not self._not_bred:
            return
        population = 0 if self._all_bred else self.evolution.config.population
        bred = Counter(batch.generation for batch in self._batch_of.values())
        recorded = Counter(entry.generation for entry in self._not_bred.values())
        for entry in self._not_bred.values():
            if recorded[entry.generation] > max(0, population - bred[entry.generation]):
                raise self._foreign(entry)

    def _foreign(self, entry: LedgerEntry) -> DataError:
        return DataError(
            f"{self.ledger.path}: {entry.key} of generation {entry.generation} was written by "
            "another search (its seed, space, budget, latencies or settings differ from those "
            "now given); search into a new folder"
        )

    def _agrees(self, entry: LedgerEntry) -> bool:
        """Whether the entry has the metrics that are objectives and the costs known here."""
        costs = self.evolution.costs(entry.choices)
        return self._metrics <= entry.values.keys() and costs.items() <= entry.values.items()

    def _advance(self) -> None:
        """Breed every batch whose parents are scored; announce what is complete."""
        while not self._all_bred:
            parents = self._parent_batches(len(self._batches))
            if self._count_complete() < parents:
                break
            self._breed(self._batches[:parents])
        self._refuse_foreign_entries()
        self._count_complete()
        self._announce_complete()

    def _parent_batches(self, number: int) -> int:
        """How many leading batches the batch of a number is bred from; 0 for a random one."""
        config = self.evolution.config
        if number < config.batches_per_generation:
            return 0
        return max(0, number + 1 - config.lookahead)

    def _breed(self, parents: Sequence[ArchitectureBatch]) -> None:
        scored = [self._scored[choices] for batch in parents for choices in batch.choices]
        batch = self.evolution.breed(len(self._batches), scored, set(self._batch_of))
        self._batches.append(batch)
        self._batch_of |= dict.fromkeys(batch.choices, batch)
        for choices in batch.choices:
            if choices in self._not_bred:
                self._take_score(self._not_bred.pop(choices))

    def _count_complete(self) -> int:
        """How many leading batches are scored."""
        while self._complete < len(self._batches) and all(
            choices in self._scored for choices in self._batches[self._complete].choices
        ):
            self._complete += 1
        return self._complete

    def _announce_complete(self) -> None:
        """Announce, in turn, the generations of which every batch is bred and scored."""
        per_generation = self.evolution.config.batches_per_generation
        while True:
            number = len(self._generations)
            batches = [batch for batch in self._batches if batch.generation == number]
            whole = len(batches) == per_generation or (batches and self._all_bred)
            if not whole or batches[-1].number >= self._complete:
                return
            entries = [self._scored[choices] for batch in batches for choices in batch.choices]
            if not entries:  # the end came between two generations
                return
            repeats = sum(batch.repeats for batch in batches)
            passed_over = sum(batch.passed_over for batch in batches)
            self._generations.append(Generation(number, tuple(entries), repeats, passed_over))
            self._announce(self._generations[-1])


def search(state: SearchState, score_all: ScoreAll, chunk: int) -> SearchResult:
    """Score ``chunk`` architectures at a time in this process until the search is done.

    Raises RunFailed when ``score_all`` leaves one out, or yields another or one twice.
    """
    while not state.done:
        for choices, metrics, seconds in each_once(score_all, state.ready()[:chunk]):
            state.record(choices, metrics, seconds)
    return state.result()


def each_once(
    score_all: ScoreAll, architectures: Sequence[Choices]
) -> Iterator[tuple[Choices, Mapping[str, float], float]]:
    """What ``score_all`` yields; RunFailed unless that is each of the architectures once.

    What is left out would be asked for again and again.
    """
    left = set(architectures)
    for choices, metrics, seconds in score_all(architectures):
        if choices not in left:
            fault = "once more" if choices in architectures else "without being asked"
            raise RunFailed(f"the scorer scored architecture {_key(choices)} {fault}")
        left.remove(choices)
        yield choices, metrics, seconds
    if left:
        raise RunFailed(
            f"the scorer left out {len(left)} of the {len(architectures)} architectures that it "
            f"was asked for, {_key(min(left))} among them"
        )


def _key(choices: Choices) -> str:
    return "-".join(map(str, choices))
