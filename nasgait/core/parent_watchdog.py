"""Processes that leave with the one that started them, so that none runs on unseen.

``nasgait --nproc`` and torchrun start ranks; ``nasgait run`` starts the stages; an import starts
workers.  Ctrl-C reaches them all, but a process that is killed cannot tell its
children.  So each child watches whether its parent is still there.  It may leave at any moment:
files are replaced whole.
"""

import logging
import os
import threading
import time

LAUNCHER = "NASGAIT_LAUNCHER"
"""Environment variable: the process that this one leaves with."""
INTERVAL = 1.0
"""Seconds between looks."""

logger = logging.getLogger(__name__)


def child_environment() -> dict[str, str]:
    """The environment of a process that is to leave with this one."""
    return {**os.environ, LAUNCHER: str(os.getpid())}


def launched() -> bool:
    """Whether another process of nasgait, or torchrun, has started this one."""
    return LAUNCHER in os.environ or "TORCHELASTIC_RUN_ID" in os.environ


def leave_with_launcher() -> None:
    """Leave this process once its launcher has gone, or the torchrun that started it as a rank.

    Does nothing where neither started it: a single process outlives the shell it came from.
    """
    launcher = int(os.environ.get(LAUNCHER, 0))
    parent = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else 0
    if launcher or parent:
        leave_with(parent, launcher)


def leave_with(parent: int, launcher: int = 0) -> None:
    """Leave this process once ``parent``, which started it, or the process ``launcher`` has gone.

    Either may be 0, for none.
    """
    threading.Thread(target=_watch, args=(launcher, parent), daemon=True).start()


def _watch(launcher: int, parent: int) -> None:
    while (not launcher or _exists(launcher)) and (not parent or os.getppid() == parent):
        time.sleep(INTERVAL)
    logger.warning("what started this process is gone: leaving")
    os._exit(1)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
