"""The ledger: what is written comes back, and a kill costs one line at most."""

import json

import pytest

from nasgait.core.checksum import checked
from nasgait.core.errors import DataError
from nasgait.core.jsonl import append_line
from nasgait.search.ledger import Ledger, LedgerEntry, read_ledger


def entry(choices, generation=0, score=0.1 + 0.2):
    return LedgerEntry(
        choices, generation, {"map": score, "rank1": 50.0, "macs": 7, "params": 3}, 1.25
    )


def flipped(content, place, bit):
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def test_lines_come_back_exactly(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    entries = [entry((0, 1, 2)), entry((0, 2, 1), 1, 1 / 3)]
    for item in entries:
        ledger.append(item)
    assert Ledger.open(path).entries == ledger.entries == entries
    assert checked(json.loads(path.read_text().splitlines()[0]), required=True) == {
        "key": "0-1-2",
        "generation": 0,
        "rank1": 50.0,
        "map": 0.1 + 0.2,
        "macs": 7,
        "params": 3,
        "seconds": 1.25,
    }
    assert isinstance(Ledger.open(path).entries[0].values["macs"], int)


def test_cut_off_anywhere_keeps_the_complete_lines(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    ledger.append(entry((0, 1, 2)))
    first = path.read_bytes()
    ledger.append(entry((0, 2, 1)))
    whole = path.read_bytes()
    for size in range(len(first), len(whole)):
        path.write_bytes(whole[:size])
        assert len(read_ledger(path)) == 1
        assert path.stat().st_size == size  # reading alone changes nothing
        torn = Ledger.open(path)
        assert path.read_bytes() == first
        torn.append(entry((0, 2, 1)))
        assert path.read_bytes() == whole


def test_no_architecture_twice(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    ledger.append(entry((1, 2)))
    with pytest.raises(DataError, match="1-2 was scored before"):
        ledger.append(entry((1, 2), generation=3))
    assert len(read_ledger(ledger.path)) == 1


@pytest.mark.parametrize(
    "line", [{"key": "a-b", "generation": 0}, {"key": "0", "generation": 0, "map": "1"}, {"map": 1}]
)
def test_a_line_of_something_else_is_refused(tmp_path, line):
    path = tmp_path / "ledger.jsonl"
    Ledger.open(path).append(entry((1, 2)))
    append_line(path, line)
    whole = path.read_bytes()
    with pytest.raises(DataError, match=r"ledger\.jsonl:2: not a ledger line"):
        Ledger.open(path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("line", ["{}", "[1]", "nonsense", '{"key": "0-1", "generation": 0}'])
def test_a_damaged_line_is_named_and_is_no_score(tmp_path, caplog, line):
    """The last one is whole, but an old line cannot follow one with a checksum."""
    path = tmp_path / "ledger.jsonl"
    Ledger.open(path).append(entry((1, 2)))
    first = path.read_bytes()
    path.write_bytes(first + line.encode() + b"\n")
    with pytest.raises(DataError, match=r"ledger\.jsonl:2: damaged .* scores its architecture"):
        read_ledger(path)
    ledger = Ledger.open(path)
    assert ledger.entries == [entry((1, 2))] and f"{path}:2: damaged" in caplog.text
    assert path.read_bytes() == first
    ledger.append(entry((0, 1)))
    assert len(read_ledger(path)) == 2


def test_every_flipped_bit_is_noticed(tmp_path):
    """In numbers, names, the checksum and its key, in quotes, commas and newlines."""
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path)
    entries = [entry((0, 1, 2)), entry((0, 2, 1), 1, 1 / 3)]
    for item in entries:
        ledger.append(item)
    whole = path.read_bytes()
    harmless = 0  # digits behind the last that counts in a float
    for place in range(len(whole) - 1):  # the last newline is the mark of a torn line
        for bit in range(8):
            path.write_bytes(flipped(whole, place, bit))
            try:
                assert read_ledger(path) == entries
                harmless += 1
            except DataError as error:
                assert "damaged" in str(error)
    assert harmless < 10


def test_lines_of_before_are_read_and_continued(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text(json.dumps(entry((0, 1, 2)).line()) + "\n")
    Ledger.open(path).append(entry((0, 2, 1)))
    assert read_ledger(path) == [entry((0, 1, 2)), entry((0, 2, 1))]


def test_repeated_line_is_named(tmp_path):
    path = tmp_path / "ledger.jsonl"
    Ledger.open(path).append(entry((1, 2)))
    path.write_text(path.read_text() * 2)
    with pytest.raises(DataError, match=r"ledger\.jsonl:2: 1-2 appears twice"):
        Ledger.open(path)
