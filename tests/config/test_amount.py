"""Amounts and times as people write them."""

import pytest

from nasgait.config.amount import amount, duration, in_seconds, with_suffix


@pytest.mark.parametrize(
    ("text", "value"), [("5G", 5e9), ("2.5e6", 2.5e6), ("3m", 3e6), ("300", 300), ("1.5T", 1.5e12)]
)
def test_amount(text, value):
    assert amount(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("50ms", 0.05), ("0.2s", 0.2), ("900us", 9e-4), ("1 s", 1.0), ("2e-3s", 2e-3)],
)
def test_duration(text, value):
    assert duration(text) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "text", ["50", "ms", "-1s", "0s", "nans", "infs", "5m", "5 min", "", "lots"]
)
def test_no_duration(text):
    with pytest.raises(ValueError, match="allowed: like 50ms"):
        duration(text)


@pytest.mark.parametrize("text", ["G", "-5G", "0", "nan", "inf", "", "5X"])
def test_no_amount(text):
    with pytest.raises(ValueError, match="allowed: like 5G"):
        amount(text)


def test_yaml_values():
    assert with_suffix("40M") == 40e6 and with_suffix(7) == 7
    assert in_seconds("50ms") == 0.05 and in_seconds(0.05) == 0.05
