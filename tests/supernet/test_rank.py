"""The truth table of ``nasgait rank``: what is read, what is refused and how it is told."""

import json

import pytest

from nasgait.core.errors import DataError
from search_spaces import load_space
from supernet.rank import read_table

SPACE = load_space("nano")
ROWS = {"0-0-0-0": 10.0, "0-1-1-1": 20.0, "0-2-2-2": 30.0, "0-3-3-3": 40.0}


def table(rows):
    return "arch,map\n" + "".join(f"{arch},{rate}\n" for arch, rate in rows)


def network(arch, rate, kind="random"):
    return {"arch": arch, "map": rate, "kind": kind}


@pytest.fixture
def refusal(tmp_path):
    def of(name, text=None):
        path = tmp_path / name
        if text is not None:
            path.write_text(text)
        with pytest.raises(DataError) as caught:
            read_table(path, SPACE, "map")
        message = str(caught.value)
        assert message.startswith(f"--truth {path}") and "\n" not in message
        return message

    return of


def test_csv_and_results_alike(tmp_path):
    expected = {SPACE.parse(arch): rate for arch, rate in ROWS.items()}
    (tmp_path / "t.csv").write_text(table(ROWS.items()))
    assert read_table(tmp_path / "t.csv", SPACE, "map") == expected
    networks = [network(*row) for row in ROWS.items()]
    networks += [network("0-0-0-1", 90.0, "searched"), network(None, 50.0, "baseline")]
    networks += [network("0-0-0-0", 10.0, "uniform")]  # drawn at random as well
    (tmp_path / "t.json").write_text(json.dumps({"networks": networks}))
    assert read_table(tmp_path / "t.json", SPACE, "map") == expected


def test_a_missing_file(refusal):
    for name in ("none.csv", "none.json"):
        assert refusal(name).endswith("cannot be read (No such file or directory)")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"networks": 3}', '{"networks": [3]}'])
def test_other_json(refusal, text):
    assert refusal("t.json", text).endswith(
        "not a results.json, nor a CSV with the columns arch,map"
    )


def test_what_a_row_lacks(refusal):
    lacking = {"networks": [network("0-0-0-0", 1.0), {"kind": "random", "map": 1.0}]}
    assert refusal("t.json", json.dumps(lacking)).endswith(", networks.1: has no arch")
    assert refusal("t.csv", "arch,rank1\n0-0-0-0,3\n").endswith(", line 2: has no map")


@pytest.mark.parametrize("rate", ["", "high", "nan"])
def test_a_rate_that_is_none(refusal, rate):
    rows = [*ROWS.items(), ("0-4-4-4", rate)]
    assert refusal("t.csv", table(rows)).endswith(f", line 6: map {rate} is not a number")


def test_an_architecture_with_two_rates(refusal):
    message = refusal("t.csv", table([*ROWS.items(), ("0-1-1-1", 25.0)]))
    assert "line 6: nano:0-1-1-1 is there twice, with map 20 and 25" in message


def test_too_few(refusal):
    assert "3 architectures; an order needs 4" in refusal("t.csv", table([*ROWS.items()][:3]))
