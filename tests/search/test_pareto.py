"""Pareto fronts against the definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasgait.core.errors import DataError
from nasgait.search.ledger import LedgerEntry
from nasgait.search.pareto import minima, pareto, read_pareto, write_pareto

points = st.lists(st.tuples(*[st.integers(0, 6)] * 3), max_size=40)


@given(points)
def test_minima_by_definition(vectors):
    distinct = sorted(set(vectors))
    expected = [
        v
        for v in distinct
        if not any(w != v and all(a <= b for a, b in zip(w, v, strict=True)) for w in distinct)
    ]
    assert minima(vectors) == expected


@given(points)
def test_front_by_definition(vectors):
    entries = [
        LedgerEntry((number,), 0, {"map": score, "macs": macs, "params": params})
        for number, (score, macs, params) in enumerate(vectors)
    ]

    def beaten(one):
        mine = [-one.values["map"], one.values["macs"], one.values["params"]]
        for other in entries:
            theirs = [-other.values["map"], other.values["macs"], other.values["params"]]
            if theirs != mine and all(a <= b for a, b in zip(theirs, mine, strict=True)):
                return True
        return False

    front = pareto(entries, up=["map"], down=["macs", "params"])
    assert sorted(e.choices for e in front) == [e.choices for e in entries if not beaten(e)]
    assert [e.values["macs"] for e in front] == sorted(e.values["macs"] for e in front)


def test_file_round_trip(tmp_path):
    entries = [
        LedgerEntry((0, 1), 0, {"map": 50.5, "macs": 10, "params": 5}, seconds=3.0),
        LedgerEntry((1, 1), 2, {"map": 60.0, "macs": 20, "params": 5}, seconds=4.0),
        LedgerEntry((1, 0), 1, {"map": 40.0, "macs": 30, "params": 9}, seconds=5.0),
    ]
    path = tmp_path / "pareto.json"
    write_pareto(path, entries, ["map"], ["macs", "params"])
    assert read_pareto(path) == {"up": ["map"], "down": ["macs", "params"], "front": entries[:2]}
    assert "seconds" not in path.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["pareto.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"up": [], "down": [], "front": [1]}'])
def test_faulty_file(tmp_path, text):
    path = tmp_path / "pareto.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"pareto\.json: (damaged|not a Pareto front)"):
        read_pareto(path)
