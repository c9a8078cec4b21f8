"""Random streams: the same everywhere, and unrelated to each other."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasgait.core.errors import ConfigError
from nasgait.core.rng import generator

words = st.one_of(st.integers(0, 2**40), st.text(min_size=1, max_size=5))


def test_same_stream_same_numbers():
    assert (
        generator(3, "batch", 7).random(5).tolist() == generator(3, "batch", 7).random(5).tolist()
    )


def test_numpy_integers_are_as_good_as_python_ones():
    assert generator(np.int64(3), np.int32(7)).random() == generator(3, 7).random()  # type: ignore[arg-type]


def test_does_not_depend_on_the_hash_seed_of_the_process():
    code = "from nasgait.core.rng import generator; print(generator(1, 'path', 2).integers(2**60))"
    for hash_seed in "1", "2":
        out = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(out.stdout) == generator(1, "path", 2).integers(2**60)


@given(st.lists(words, max_size=4), st.lists(words, max_size=4))
def test_other_stream_other_numbers(a, b):
    if a != b:
        assert generator(0, *a).integers(2**63, size=2).tolist() != (
            generator(0, *b).integers(2**63, size=2).tolist()
        )


def test_zeros_at_the_end_make_another_stream():
    draws = {generator(0, *[0] * n).integers(2**63) for n in range(6)}
    assert len(draws) == 6


def test_steps_are_uncorrelated():
    draws = np.stack([generator(0, "batch", step).random(64) for step in range(400)])
    correlation = np.corrcoef(draws)[np.triu_indices(400, 1)]
    assert abs(correlation.mean()) < 0.005
    assert abs(correlation.std() - 1 / np.sqrt(63)) < 0.01


def test_does_not_touch_the_global_generator():
    np.random.seed(0)
    first = np.random.random()
    np.random.seed(0)
    generator(5, "x").random(10)
    assert np.random.random() == first


@pytest.mark.parametrize("stream", [(-1,), (0, -3), (2**64,)])
def test_a_negative_or_too_large_number_is_refused(stream):
    with pytest.raises(ConfigError, match="whole numbers"):
        generator(*stream)


def test_an_empty_name_is_refused():
    with pytest.raises(ConfigError, match="name"):
        generator(0, "")
