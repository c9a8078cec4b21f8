"""Signals as flags: nothing swallows them, nothing is cut in two."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from nasgait.core import children, interrupts
from nasgait.core.errors import RunFailed
from nasgait.core.files import write_atomically
from nasgait.core.interrupts import Interrupted, answered, deferred, handled, stop_signal


@pytest.fixture(autouse=True)
def handlers(monkeypatch):
    monkeypatch.setattr(interrupts, "AGAIN", 0.05)
    monkeypatch.delenv("NASGAIT_LAUNCHER", raising=False)
    with handled():
        yield


def pause(seconds=5.0):
    """Wait as a program does, until something is raised."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("signum", interrupts.STOPS)
def test_it_is_raised_at_once(signum):
    with pytest.raises(Interrupted) as found, answered():
        signal.raise_signal(signum)
    assert found.value.signum == signum == stop_signal()


class Swallower:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


def swallowed_by_a_wide_except():
    with contextlib.suppress(BaseException):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("swallow", [Swallower, swallowed_by_a_wide_except])
def test_what_was_swallowed_is_raised_again(swallow):
    with pytest.raises(Interrupted), answered():
        swallow()
        pause()
        pytest.fail("the stop is lost")


def test_what_is_on_its_way_out_is_let_go():
    """Cleaning up takes longer than the next signal of the timer, and is not cut short."""
    cleaned = []
    with pytest.raises(Interrupted), answered():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            pause(0.3)
            cleaned.append("all")
    assert cleaned == ["all"]


def test_what_must_not_be_cut_is_finished(tmp_path):
    def content(file):
        file.write(b"one ")
        signal.raise_signal(signal.SIGTERM)
        pause(0.2)
        file.write(b"two")

    with pytest.raises(Interrupted), answered():
        write_atomically(tmp_path / "a", content)
        pytest.fail("it goes on after the file")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"one two"


def test_within_another_deferral_it_waits_for_both():
    with answered():
        with pytest.raises(Interrupted), deferred():
            with deferred():
                signal.raise_signal(signal.SIGINT)
            seen = stop_signal()
        assert seen == signal.SIGINT


def test_outside_it_is_noted_and_raised_at_the_next_start():
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted), answered():
        pytest.fail("it was asked to stop before")


def test_a_checkpoint_is_asked_for_once():
    signal.raise_signal(signal.SIGUSR1)
    assert [interrupts.take_save(), interrupts.take_save()] == [True, False]
    assert stop_signal() == 0


def test_the_handlers_go():
    program = (
        "import signal\nfrom nasgait.core.interrupts import handled\n"
        "before = [signal.getsignal(n) for n in (2, 15, 10)]\n"
        "with handled(): assert signal.getsignal(15) not in before\n"
        "assert before == [signal.getsignal(n) for n in (2, 15, 10)]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Children ----------------------------------------------------------------------------------------


def python(code):
    return [sys.executable, "-c", code]


def test_how_a_child_ended():
    assert children.run_child(python("")) == 0
    assert children.run_child(python("raise SystemExit(3)")) == 3
    code = children.run_child(python("import os; os.kill(os.getpid(), 9)"))
    assert code == -9 and "memory ran out" in children.how_it_ended(code)
    assert children.how_it_ended(-11) == "was ended by signal 11 (SIGSEGV)"
    assert children.how_it_ended(3) == "ended with status 3"


@pytest.mark.parametrize("signum", interrupts.STOPS)
def test_a_child_that_was_asked_to_stop_alone_stops_the_rest(signum):
    default = f"signal.signal({int(signum)}, 0)\nsignal.pthread_sigmask(1, [{int(signum)}])"
    killed = f"import signal\n{default}\nsignal.raise_signal({int(signum)})"
    for code in (f"raise SystemExit({128 + signum})", killed):
        with pytest.raises(Interrupted) as found, answered():
            children.run_child(python(code))
        assert found.value.signum == signum and not stop_signal()


HANDLES = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
signal.signal(signal.SIGUSR1, lambda *_: print("saved", flush=True))
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM, signal.SIGUSR1])
os.kill(os.getppid(), signal.SIGUSR1)
time.sleep(0.3)
os.kill(os.getppid(), signal.SIGTERM)
time.sleep(60)
"""


def test_signals_are_passed_on_and_the_end_awaited(tmp_path):
    began = time.monotonic()
    with (tmp_path / "log").open("w") as log, pytest.raises(Interrupted), answered():
        children.run_child(python(HANDLES), log=log)
    assert time.monotonic() - began < 30
    assert (tmp_path / "log").read_text() == "saved\n"


def test_nothing_new_is_started():
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted), answered():
        children.run_child(python("import os; os.abort()"))


def test_when_one_of_a_group_is_killed_it_is_named_and_the_others_end(monkeypatch):
    monkeypatch.setattr(children, "GRACE", 0.2)
    killed = python("import os; os.kill(os.getpid(), 9)")
    waiting, late = python("import time; time.sleep(60)"), python("raise SystemExit(1)")
    assert children.run_children([waiting, killed, late], [{}] * 3) in [(1, -9), (2, 1)]
    assert children.run_children([waiting, killed], [{}] * 2) == (1, -9)
    assert children.run_children([python("")] * 2, [{}] * 2) is None


def test_the_second_interrupt_ends_at_once():
    program = (
        "import os, signal, time\nfrom nasgait.core.interrupts import handled, deferred\n"
        "with handled(), deferred():\n"
        "    signal.raise_signal(2)\n    print('one', flush=True)\n"
        "    signal.raise_signal(2)\n    print('two', flush=True)"
    )
    done = subprocess.run(python(program), capture_output=True, text=True, env=os.environ)
    assert (done.returncode, done.stdout) == (130, "one\n")


def test_a_launched_process_leaves_the_count_to_its_launcher():
    program = (
        "import signal\nfrom nasgait.core.interrupts import handled, deferred\n"
        "with handled(), deferred():\n    signal.raise_signal(2)\n    signal.raise_signal(2)"
    )
    environment = os.environ | {"NASGAIT_LAUNCHER": str(os.getpid())}
    assert subprocess.run(python(program), env=environment, check=False).returncode == 0


def test_a_failed_rank_is_named(monkeypatch):
    from nasgait.cli import ranks

    monkeypatch.setattr(children, "GRACE", 0.2)
    code = "import os; os.kill(os.getpid(), 9) if os.environ['RANK'] == '1' else None"
    with pytest.raises(RunFailed, match=r"rank 1 of 2 was ended by signal 9 .*memory ran out"):
        ranks.run_ranks(python(code), 2)
