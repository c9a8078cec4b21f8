"""Numbers in print."""

import pytest

from nasgait.report.formatting import amount, duration, percent, seed_range


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (999, "999"),
        (999.6, "1.00 K"),
        (174_977, "175 K"),
        (37_294_080, "37.3 M"),
        (99_960_000, "100 M"),
        (999_600_000, "1.00 G"),
        (5_000_000_000, "5.00 G"),
        (2.5e12, "2.50 T"),
        (999_500_000_000, "1.00 T"),
        (999_499_999_999, "999 G"),
        (9_995_000_000, "10.0 G"),
        (9_994_999_999, "9.99 G"),
        (99_950_000, "100 M"),
        (99_949_999, "99.9 M"),
    ],
)
def test_amount(value, text):
    assert amount(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.84, "0.8 s"),
        (9.94, "9.9 s"),
        (9.95, "10 s"),
        (59.5, "1 min 00 s"),
        (3599.4, "59 min 59 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7384, "2 h 03 min"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_percent():
    assert (percent(None), percent(0.04), percent(99.96)) == ("–", "0.0", "100.0")


def test_seed_range_needs_two_seeds():
    assert seed_range([50.04, 48.9, 51.0]) == "48.9 to 51.0"
    assert seed_range([50.0]) is seed_range([None, 50.0]) is seed_range(None) is None
