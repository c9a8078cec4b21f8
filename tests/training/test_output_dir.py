"""Output directories are never overwritten, and written by one process at a time."""

import os

import pytest

from nasgait.config.schema import DataConfig, ExperimentConfig
from nasgait.core.errors import ConfigError
from nasgait.training.output_dir import LOCK, claim, is_used, locked, record


def test_a_directory_is_made_with_those_above_it(tmp_path):
    claim(tmp_path / "a" / "b", resume=False)
    assert (tmp_path / "a" / "b").is_dir()


def test_what_is_not_empty_is_resumed_or_refused(tmp_path):
    (tmp_path / LOCK).touch()
    assert not is_used(tmp_path), "a failed start leaves hidden files"
    claim(tmp_path, resume=False)
    (tmp_path / "metrics.jsonl").touch()
    assert is_used(tmp_path)
    with pytest.raises(ConfigError, match=f"--out {tmp_path}: is not empty; resume with --resume"):
        claim(tmp_path, resume=False)
    claim(tmp_path, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_no_directory_below_a_file(tmp_path, resume):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="no directory can be made there \\(Not a directory\\)"):
        claim(tmp_path / "file" / "out", resume)


def test_the_configuration_is_recorded_once(tmp_path):
    record(tmp_path, ExperimentConfig(name="first", data=DataConfig(store="s")))
    first = (tmp_path / "config.yaml").read_text()
    record(tmp_path, ExperimentConfig(name="second", data=DataConfig(store="s")))
    assert "first" in first and (tmp_path / "config.yaml").read_text() == first


def test_a_second_writer_is_told_who_the_first_is(tmp_path):
    second = locked(tmp_path)
    with locked(tmp_path), pytest.raises(ConfigError, match=rf"\(pid {os.getpid()}\)"), second:
        pass
    with locked(tmp_path):  # free again
        assert (tmp_path / LOCK).read_text() == str(os.getpid())


def test_ranks_that_write_nothing_do_not_lock(tmp_path):
    with locked(tmp_path, main=False), locked(tmp_path):
        pass
    (tmp_path / LOCK).unlink()
    with locked(tmp_path, main=False):
        assert not (tmp_path / LOCK).exists()


def test_the_name_of_a_longer_process_number_is_gone(tmp_path):
    (tmp_path / LOCK).write_text("9" * 19)
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text() == str(os.getpid())
