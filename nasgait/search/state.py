"""Where a search stands: what is bred, what is scored, what waits to be scored.

The same for every backend: take what is :meth:`SearchState.ready`, score it anywhere and in any
order, :meth:`~SearchState.record` each score.  The ledger is the only thing kept; a search that
goes on from it breeds again, and takes the scores of what is bred from its lines, in any order.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nasgait.core.errors import DataError, RunFailed
from nasgait.search.budget import Choices
from nasgait.search.evolution import Brood, Evolution
from nasgait.search.ledger import Entry, Ledger

ScoreAll = Callable[[Sequence[Choices]], Iterable[tuple[Choices, Mapping[str, float], float]]]
"""Scores architectures together; yields each with its rates and its share of the time [s]."""


@dataclass(frozen=True)
class Generation:
    """One scored generation."""

    number: int
    """0 is the first, random one."""
    entries: tuple[Entry, ...]
    """Its architectures in the order they were bred."""
    repeats: int = 0
    """Affordable children that breeding proposed and that had been bred before."""
    passed_over: int = 0
    """Affordable new children that it proposed beside more promising ones."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found; equal for every backend, undisturbed or resumed."""

    ranking: tuple[Entry, ...]
    """Every scored architecture, best first; equal scores rank the cheaper one first."""
    generations: tuple[Generation, ...]
    """The generations in turn."""
    ended_early: str | None
    """Why there are fewer architectures than asked for, if there are."""

    @property
    def best(self) -> Entry:
        """The winner."""
        return self.ranking[0]


class SearchState:
    """The state of ``evolution`` that ``ledger`` tells, and its way on.

    Lines may have been removed from the ledger: their architectures are scored again, and the
    lines that depend on them wait until it is known what is bred.  Raises DataError as soon as a
    line proves to be another search's (seed, budget, settings or costs differ); all of a ledger
    that lacks no line is held against this search here, and left untouched.
    """

    def __init__(self, evolution: Evolution, ledger: Ledger) -> None:
        self.evolution = evolution
        self.ledger = ledger
        self._announce: Callable[[Generation], None] = lambda generation: None
        self._broods: list[Brood] = []
        self._home: dict[Choices, Brood] = {}  # everything bred, in breeding order
        self._scored: dict[Choices, Entry] = {}
        # A longer search may be asked for less: what came later is not this search's.
        last = evolution.config.max_epochs
        self._unbred = {e.choices: e for e in ledger.entries if e.generation <= last}
        self._complete = 0  # leading broods that are scored
        self._generations: list[Generation] = []
        self._advance()

    def follow(self, announce: Callable[[Generation], None]) -> None:
        """Call ``announce`` with each generation that is complete, and with each that will be."""
        for generation in self._generations:
            announce(generation)
        self._announce = announce

    @property
    def done(self) -> bool:
        """Whether everything is bred and scored."""
        return self._all_bred and len(self._scored) == len(self._home)

    @property
    def scored(self) -> int:
        """The number of architectures that have their score in the ledger."""
        return len(self._scored) + len(self._unbred)

    def ready(self) -> list[Choices]:
        """What is bred and not scored, in breeding order; never empty until the search is done."""
        return [choices for choices in self._home if choices not in self._scored]

    def generation(self, choices: Choices) -> int:
        """The generation that an architecture was bred in; KeyError if it was not."""
        return self._home[choices].generation

    def record(self, choices: Choices, scores: Mapping[str, float], seconds: float) -> Entry:
        """Put a score in the ledger and breed what it allows to be bred.

        ``seconds`` is how long scoring took.  Raises RunFailed for scores that are not finite
        or lack an objective, DataError for an architecture that was scored before, and KeyError
        for one that was not bred.
        """
        generation = self.generation(choices)
        values = {name: float(value) for name, value in scores.items()}
        if not self._rates <= values.keys() or not all(map(math.isfinite, values.values())):
            raise RunFailed(
                f"architecture {_key(choices)} scored {values}: expected finite "
                f"numbers with {' and '.join(map(repr, sorted(self._rates)))} among them"
            )
        entry = Entry(choices, generation, values | self.evolution.costs(choices), seconds)
        self.ledger.append(entry)
        self._scored[choices] = entry
        self._advance()
        return entry

    def result(self) -> SearchResult:
        """What was found so far, the whole of it once the search is done."""
        ranking = self.evolution.rank(list(self._scored.values()))
        last = self._broods[-1]
        epochs = self.evolution.config.max_epochs
        early = last.short and f"{last.short} (in generation {last.generation} of {epochs})"
        return SearchResult(ranking, tuple(self._generations), early)

    @property
    def _rates(self) -> set[str]:
        return set(self.evolution.objectives.rates)

    @property
    def _all_bred(self) -> bool:
        bred = self._broods
        return bool(bred) and (bred[-1].short is not None or len(bred) == self.evolution.total)

    def _take_over(self, entry: Entry) -> None:
        """Take the score of what is bred now from its line in the ledger."""
        if self.generation(entry.choices) != entry.generation or not self._agrees(entry):
            raise self._strange(entry)
        self._scored[entry.choices] = entry

    def _refuse_strangers(self) -> None:
        """DataError when the ledger tells more of a generation than is left to be bred of it."""
        if not self._unbred:
            return
        population = 0 if self._all_bred else self.evolution.config.population
        bred = Counter(brood.generation for brood in self._home.values())
        told = Counter(entry.generation for entry in self._unbred.values())
        for entry in self._unbred.values():
            if told[entry.generation] > max(0, population - bred[entry.generation]):
                raise self._strange(entry)

    def _strange(self, entry: Entry) -> DataError:
        return DataError(
            f"{self.ledger.path}: {entry.key} of generation {entry.generation} was written by "
            "another search (its seed, space, budget, latencies or settings differ from those "
            "now given); search into a new folder"
        )

    def _agrees(self, entry: Entry) -> bool:
        """Whether the entry has the objectives' rates and the costs known here."""
        costs = self.evolution.costs(entry.choices)
        return self._rates <= entry.values.keys() and costs.items() <= entry.values.items()

    def _advance(self) -> None:
        """Breed every brood whose parents are scored; announce what is complete."""
        while not self._all_bred:
            parents = self._parents(len(self._broods))
            if self._leading_scored() < parents:
                break
            self._breed(self._broods[:parents])
        self._refuse_strangers()
        self._leading_scored()
        self._announce_complete()

    def _parents(self, number: int) -> int:
        """From how many of the first broods the one of a number is bred; a random one from none."""
        config = self.evolution.config
        return 0 if number < config.broods else max(0, number + 1 - config.ahead)

    def _breed(self, parents: Sequence[Brood]) -> None:
        scored = [self._scored[choices] for brood in parents for choices in brood.choices]
        brood = self.evolution.breed(len(self._broods), scored, set(self._home))
        self._broods.append(brood)
        self._home |= dict.fromkeys(brood.choices, brood)
        for choices in brood.choices:
            if choices in self._unbred:
                self._take_over(self._unbred.pop(choices))

    def _leading_scored(self) -> int:
        """How many broods are scored with all broods before them."""
        while self._complete < len(self._broods) and all(
            choices in self._scored for choices in self._broods[self._complete].choices
        ):
            self._complete += 1
        return self._complete

    def _announce_complete(self) -> None:
        """Announce, in turn, the generations of which every brood is bred and scored."""
        while True:
            number = len(self._generations)
            broods = [brood for brood in self._broods if brood.generation == number]
            whole = len(broods) == self.evolution.config.broods or (broods and self._all_bred)
            if not whole or broods[-1].number >= self._complete:
                return
            entries = [self._scored[choices] for brood in broods for choices in brood.choices]
            if not entries:  # the end came between two generations
                return
            repeats = sum(brood.repeats for brood in broods)
            passed_over = sum(brood.passed_over for brood in broods)
            self._generations.append(Generation(number, tuple(entries), repeats, passed_over))
            self._announce(self._generations[-1])


def search(state: SearchState, score_all: ScoreAll, chunk: int) -> SearchResult:
    """Score ``chunk`` architectures at a time in this process until the search is done.

    Raises RunFailed when ``score_all`` leaves one out, or yields another or one twice.
    """
    while not state.done:
        for choices, scores, seconds in each_once(score_all, state.ready()[:chunk]):
            state.record(choices, scores, seconds)
    return state.result()


def each_once(
    score_all: ScoreAll, architectures: Sequence[Choices]
) -> Iterator[tuple[Choices, Mapping[str, float], float]]:
    """What ``score_all`` yields; RunFailed unless that is each of the architectures once.

    What is left out would be asked for again, for ever.
    """
    left = set(architectures)
    for choices, scores, seconds in score_all(architectures):
        if choices not in left:
            fault = "once more" if choices in architectures else "without being asked"
            raise RunFailed(f"the scorer scored architecture {_key(choices)} {fault}")
        left.remove(choices)
        yield choices, scores, seconds
    if left:
        raise RunFailed(
            f"the scorer left out {len(left)} of the {len(architectures)} architectures that it "
            f"was asked for, {_key(min(left))} among them"
        )


def _key(choices: Choices) -> str:
    return "-".join(map(str, choices))
