"""Signals that ask a process to stop or to save, kept as flags that nothing can swallow.

SIGINT and SIGTERM note that the process has to stop.  Where it can end at any moment they raise
:class:`Interrupted` as well; within :func:`deferred` they only note it, for a loop that looks at
:func:`stop_signal`.  An exception alone would not do: raised in a callback, in ``__del__`` or below
a wide ``except`` it is lost.  So it is raised again each second until it is on its way out.
SIGUSR1 asks for a checkpoint.  All are passed on to the :func:`children` that run.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nasgait.core.parent_watchdog import launched

STOPS = (signal.SIGINT, signal.SIGTERM)
SAVE = signal.SIGUSR1
AGAIN = 1.0
"""Seconds until a stop that was swallowed is raised again."""


class Interrupted(KeyboardInterrupt):
    """The process was asked to stop by ``signum``; the message says what it did before."""

    def __init__(self, signum: int, done: str = "") -> None:
        super().__init__(done)
        self.signum = signum


class _Asked:
    """What signals have asked this process for: signals belong to a process, and so does this."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Nothing is asked for, and no handler is set."""
        self.active = False
        self.stop = 0
        self.save = False
        self.depth = 0
        self.together = False
        self.settled = True
        self.interrupts = 0
        self.children: set[subprocess.Popen[bytes]] = set()


_asked = _Asked()


@contextmanager
def handled(together: bool = False, to_the_end: bool = False) -> Iterator[None]:
    """Handle the signals within this block; before and after it they do what they did.

    With ``to_the_end`` the process ends after it, and its code is decided: signals are noted and
    passed on until the last thread has ended, and do nothing from then on.

    They raise where the block is :func:`answered`.
    Only the main thread can; elsewhere, and within another such block, nothing changes.  With
    ``together`` stops are :func:`deferred` until :func:`alone`: one rank must not leave the others
    waiting for it.
    """
    if _asked.active or threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.reset()
    _asked.active, _asked.depth, _asked.together = True, int(together), together
    before = {number: signal.getsignal(number) for number in (*STOPS, SAVE, signal.SIGALRM)}
    install()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if to_the_end:
            atexit.register(_ignore)
        else:
            _asked.active = False
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)


def install() -> None:
    """Set the handlers, again where a library has set its own; a signal that came early counts."""
    if not _asked.active or threading.current_thread() is not threading.main_thread():
        return
    for number in STOPS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a job in the background
            signal.signal(number, _stop)
    signal.signal(SAVE, _save)
    signal.signal(signal.SIGALRM, _again)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*STOPS, SAVE))


@contextmanager
def deferred() -> Iterator[None]:
    """Finish this block although a signal asks to stop; then Interrupted is raised.

    For what must not be cut in two, and for loops that look at :func:`stop_signal`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are raised in the main thread alone
        return
    _asked.depth += 1
    try:
        yield
    finally:
        _asked.depth -= 1
    check()


def stop_signal() -> int:
    """The number of the signal that asked this process to stop, 0 if none has."""
    return _asked.stop


def take_save() -> bool:
    """Whether a checkpoint was asked for since the last call."""
    wanted, _asked.save = _asked.save, False
    return wanted


def check() -> None:
    """Raise Interrupted if this process was asked to stop and nothing defers it.

    Only the main thread defers; others raise at once.
    """
    aside = threading.current_thread() is not threading.main_thread()
    if _asked.stop and (aside or not (_asked.depth or _asked.settled)):
        raise Interrupted(_asked.stop)


def alone() -> None:
    """End what ``handled(together=True)`` defers: no other rank waits for this one any more."""
    if _asked.together:
        _asked.together = False
        _asked.depth -= 1
    check()


@contextmanager
def answered() -> Iterator[None]:
    """Raise stops within this block, also one that came before; after it they are only noted.

    What is left to do then is to say how it ended.
    """
    _asked.settled = False
    try:
        check()
        yield
    finally:
        _asked.settled = True
        if _asked.active:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def passing_on(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass signals on to ``child`` within this block, and one that came before it as well."""
    _asked.children.add(child)
    try:
        if _asked.stop:
            child.send_signal(_asked.stop)
        yield
    finally:
        _asked.children.discard(child)


@contextmanager
def held() -> Iterator[None]:
    """Hold signals back while a child is started: it answers them once it can, in ``install``."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*STOPS, SAVE))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ignore() -> None:
    for number in (*STOPS, SAVE):
        signal.signal(number, signal.SIG_IGN)


def _pass_on(signum: int) -> None:
    for child in list(_asked.children):
        child.send_signal(signum)


def _stop(signum: int, frame: FrameType | None) -> None:
    _asked.interrupts += signum == signal.SIGINT
    # Ctrl-C reaches children as well, and once more from their launcher, who alone counts.
    if _asked.interrupts > 1 and not launched():
        _pass_on(signal.SIGKILL)
        os._exit(128 + signum)
    first = not _asked.stop
    _asked.stop = _asked.stop or signum
    _pass_on(signum)
    if first:
        signal.setitimer(signal.ITIMER_REAL, AGAIN, AGAIN)
        check()


def _save(signum: int, frame: FrameType | None) -> None:
    _asked.save = True
    _pass_on(signum)


def _again(signum: int, frame: FrameType | None) -> None:
    """Raise a stop once more, unless it is on its way out already."""
    error = sys.exception()
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return
        error = error.__context__
    check()
