"""The description of each generation."""

from itertools import combinations

import numpy as np
import pytest
from cost_tables import TOY

from nasgait.config.schema import SearchConfig
from nasgait.core.errors import DataError
from nasgait.search.budget import Budget
from nasgait.search.evolution import Evolution
from nasgait.search.generations import Generations, diversity, read_generations
from nasgait.search.hypervolume import RelativeHypervolume
from nasgait.search.ledger import Ledger, LedgerEntry
from nasgait.search.state import Generation, SearchState, search


def entry(choices, score, generation=0):
    return LedgerEntry(choices, generation, {"map": score, **TOY.total(choices)})


FIRST = (entry((0, 0, 0, 0), 10.0), entry((0, 1, 0, 2), 20.0), entry((0, 1, 1, 2), 60.0))
SECOND = (entry((0, 2, 2, 2), 40.0, 1),)


def evolution(*objectives):
    return Evolution(Budget(TOY), SearchConfig(objectives=objectives))


def test_lines_by_hand(tmp_path):
    records = Generations(tmp_path / "g.jsonl", evolution("map"))
    records.add(Generation(0, FIRST, repeats=1))
    records.add(Generation(1, SECOND))
    first, second = read_generations(tmp_path / "g.jsonl")
    third = 1 / 3
    assert first.pop("frequencies") == [
        [1.0],
        [third, 2 * third, 0],
        [2 * third, third, 0],
        [third, 0, 2 * third],
    ]
    # Of 3 pairs in 4 layers differ: 0, 2, 2 and 2.
    assert first.pop("diversity") == pytest.approx(6 / 12)
    assert first == {
        "generation": 0, "architectures": 3, "best": 60.0, "generation_best": 60.0,
        "generation_median": 20.0, "spread": 25.0, "new": 0.75,
    }  # fmt: skip
    assert (second["best"], second["generation_best"], second["new"]) == (60.0, 40.0, 1.0)
    assert second["diversity"] == second["spread"] == 0


def test_hypervolume_is_of_all_so_far(tmp_path):
    search = evolution("map", "macs")
    records = Generations(tmp_path / "g.jsonl", search)
    share = RelativeHypervolume(search).share
    assert records.add(Generation(0, FIRST))["hypervolume"] == share(FIRST)
    assert records.add(Generation(1, SECOND))["hypervolume"] == share([*FIRST, *SECOND])


def test_children_passed_over_count_as_new(tmp_path):
    line = Generations(tmp_path / "g.jsonl", evolution("map")).add(Generation(0, FIRST, 2, 3))
    assert line["new"] == 6 / 8


def test_diversity_is_the_mean_over_pairs():
    choices = np.random.default_rng(0).integers(0, 3, (12, 5))
    pairs = [np.mean(a != b) for a, b in combinations(choices, 2)]
    frequencies = [[np.mean(layer == c) for c in range(3)] for layer in choices.T]
    assert diversity(frequencies, 12) == pytest.approx(np.mean(pairs))


def test_share_of_new_counts_what_had_been_bred(tmp_path):
    """27 architectures: the more are bred, the more often breeding proposes one of them."""
    config = SearchConfig(population=9, top_k=3, mutations=4, crossovers=4, max_epochs=2)
    records = Generations(tmp_path / "g.jsonl", Evolution(Budget(TOY), config))
    state = SearchState(records._evolution, Ledger.open(tmp_path / "l.jsonl"))
    state.follow(records.add)
    search(state, lambda chunk: [(c, {"map": float(sum(c))}, 0.0) for c in chunk], 9)
    new = [line["new"] for line in read_generations(tmp_path / "g.jsonl")]
    assert len(new) == 3 and 1 > new[0] > new[1] > new[2] > 0


@pytest.mark.parametrize("text", ["{}\n", "[1]\n", "{\n", '{"frequencies": 3}\n'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "g.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"g.jsonl:1: (damaged|not a generation of a search)"):
        read_generations(tmp_path / "g.jsonl")


def test_two_architectures_differ_in_some_layers_or_in_none():
    """Of two, a layer shared by halves differs for certain, one of a single choice never."""
    assert diversity([[0.5, 0.5], [1.0, 0.0]], 2) == 0.5
    assert diversity([[1.0, 0.0]], 1) == 0.0
