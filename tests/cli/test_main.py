"""Errors as exit codes and single lines."""

import errno

import pytest

from nasgait.cli.main import guard


@pytest.mark.parametrize("named", [True, False])
def test_a_full_disk_is_a_failed_run_not_wrong_input(capsys, named):
    """Writing to an open file names no file, opening one does; both fail alike."""

    def full():
        raise OSError(errno.ENOSPC, "No space left on device", *(["file"] if named else []))

    assert guard(full, "with --resume") == 1
    told = capsys.readouterr().err
    assert told == "failed: No space left on device; the same command with --resume goes on\n"
