"""The store of a configuration: made once, and refused if other settings made it."""

import re
from dataclasses import replace

import pytest
from raw_trees import make_grew, make_pickles

from nasgait.config.schema import DataConfig, SourceConfig, SynthConfig
from nasgait.core.errors import ConfigError, DataError
from nasgait.data.prepare import check_source, prepare


@pytest.fixture
def config(tmp_path):
    """Pickles of CASIA-B's subjects 001 to 004, imported at 128 x 128."""
    make_pickles(tmp_path / "raw")
    partition = tmp_path / "p.json"
    partition.write_text('{"TRAIN_SET": ["001", "003", "004"], "TEST_SET": ["002"]}')
    source = SourceConfig(
        "opengait-pkl", str(tmp_path / "raw"), size=128, bits=1, partition=str(partition)
    )
    return DataConfig(str(tmp_path / "store"), source=source, workers=1)


def test_the_source_decides_size_bits_and_subsets(config):
    assert check_source(config).startswith("import 8 sequences of ")
    store = prepare(config)
    assert store.size == (128, 128) and store.meta["bits"] == 1
    subsets = {sequence.label: sequence.subset for sequence in store.sequences}
    assert subsets == {"001": "train", "002": "test", "003": "train", "004": "train"}
    assert check_source(config).startswith("use ")


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("size", 64, r"size \[128, 128\], now asked for is \[64, 64\]"),
        ("bits", 8, "bits 1, now asked for is 8"),
        ("partition", None, r"partition '.*p\.json', now asked for is None"),
        ("partition", "casia-b", r"partition '.*p\.json', now asked for is 'casia-b'"),
        ("data_in_use", (0,), "number None, now asked for is 0"),
        ("root", "elsewhere", "root "),
        ("layout", "grew", "layout 'opengait-pkl', now asked for is 'grew'"),
    ],
)
def test_a_store_made_otherwise_is_refused(config, key, value, message):
    prepare(config)
    with pytest.raises(DataError, match=f"was made with {message}") as caught:
        check_source(replace(config, source=replace(config.source, **{key: value})))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("made", [True, False])
def test_an_unknown_layout_gets_a_suggestion(config, made):
    if made:
        prepare(config)
    source = replace(config.source, layout="OpenGait-pickle")
    message = "data.source.layout 'OpenGait-pickle': did you mean 'opengait-pkl'? known are grew, "
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_source(replace(config, source=source))


def test_the_raw_folder_may_be_gone(config, tmp_path):
    prepare(config)
    (tmp_path / "raw").rename(tmp_path / "away")
    (tmp_path / "p.json").unlink()
    assert check_source(config).startswith("use ")


def test_published_partition_by_default(tmp_path):
    make_grew(tmp_path / "raw")
    config = DataConfig(
        str(tmp_path / "store"), source=SourceConfig("grew", str(tmp_path / "raw")), workers=1
    )
    assert {s.subset for s in prepare(config).sequences} == {"train", "test"}
    assert check_source(config).startswith("use ")


def test_neither_store_nor_source(config, tmp_path):
    with pytest.raises(DataError, match="is not there; make it with nasgait data import"):
        check_source(replace(config, source=None))
    with pytest.raises(ConfigError, match="give synth or source, not both"):
        check_source(replace(config, synth=SynthConfig()))
