"""Errors as exit codes and single lines."""

import errno
import subprocess
import sys

import pytest

from nasgait.cli.main import COMMANDS, guard, parser


@pytest.mark.parametrize("named", [True, False])
def test_a_full_disk_is_a_failed_run_not_wrong_input(capsys, named):
    """Writing to an open file names no file, opening one does; both fail alike."""

    def full():
        raise OSError(errno.ENOSPC, "No space left on device", *(["file"] if named else []))

    assert guard(full, "with --resume") == 1
    told = capsys.readouterr().err
    assert told == "failed: No space left on device; the same command with --resume goes on\n"


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "nasgait", *words], capture_output=True, text=True)


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("sarch",), ()])
def test_the_command_answers_without_what_takes_long_to_import(words):
    program = (
        "import sys, nasgait.cli.main as m\n"
        "try: m.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} & {'torch', 'numpy', 'pydantic'}))"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_mistyped_command_is_told_the_one_that_was_meant():
    done = command("sarch", "--config", "demo")
    assert done.returncode == 2 and "did you mean 'search'?" in done.stderr
    assert (
        command("xyz").stderr.splitlines()[-1].startswith("nasgait: error: 'xyz' is no command (")
    )


def test_help_lists_every_command_and_each_has_its_own():
    listed = command("--help").stdout
    for name, summary in COMMANDS.items():
        assert f"    {name} " in listed
        words = parser([name]).parse_args
        with pytest.raises(SystemExit):
            words([name, "--help"])
        assert summary
