"""How a command ends: an exit code and one line for people, whatever happens."""

import errno
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable

from nasgait.cli.streams import nobody_reads
from nasgait.core import interrupts
from nasgait.core.errors import NasgaitError, RunFailed
from nasgait.core.parent_watchdog import launched

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
WRONG_PATH = (
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST,
    errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG, errno.EROFS,
)  # fmt: skip
"""What is wrong with a path that was given; other errors of files are failures."""

BATCH = "{0}.batch.ids, {0}.batch.seqs or {0}.batch.frames and give another --out"
LOWER = {
    "supernet": BATCH.format("supernet"),
    "pretrain": "pretrain.views.sequences or pretrain.views.frames and give another --out",
    "retrain": BATCH.format("retrain")
    + " (of a baseline with a recipe: baselines.N.recipe.batch or baselines.N.retrain.batch), "
    "or evaluation.max_frames if it was evaluating",
    "search": "search.memory, search.max_frames or search.ray.workers",
    "rank": "search.memory or search.max_frames",
    "run": "data.workers, or evaluation.max_frames",
    "eval": "--max-frames",
    "profile": "--frames",
    "data": "--workers",
}
"""What to lower when memory runs out, by command."""

REFUSED = re.compile(
    r"can't allocate memory|CUDA error: out of memory|CUBLAS_STATUS_ALLOC_FAILED|bad_alloc"
)
AMOUNT = re.compile(r"(?:allocate|allocating) ([\d.]+ ?(?:bytes|[KMGTPE]?i?B))", re.IGNORECASE)
LOST = re.compile(r"gloo|nccl|connection (closed|reset)|socket timeout|broken pipe", re.IGNORECASE)
"""What a collective says when another rank is gone."""


def guard(action: Callable[[], int | None], resume: str = "again", command: str = "") -> int:
    """Run ``action`` and return an exit code; people see one line, not a traceback.

    ``resume`` says how the same command continues after an interruption; ``command`` is its name.
    """
    try:
        with interrupts.answered():
            code = action() or 0
            sys.stdout.flush()
            return code
    except KeyboardInterrupt as error:
        return interrupted(error, resume)
    except NasgaitError as error:
        return say(f"error: {one_line(error)}", 2)
    except RunFailed as error:
        return say(f"failed: {one_line(error)}", 1)
    except BrokenPipeError:
        nobody_reads()
        return 141
    except Exception as error:
        return foreign(error, resume, command)


def interrupted(error: KeyboardInterrupt, resume: str) -> int:
    """The code and the line of a process that was asked to stop."""
    # Ray's C++ raises a plain KeyboardInterrupt of its own where a handler raised ours.
    signum = getattr(error, "signum", 0) or interrupts.stop_signal() or signal.SIGINT
    line = "terminated" if signum == signal.SIGTERM else "interrupted"
    if done := str(error):
        line += f" {done}"
    if not launched():  # else who started it says so, once
        line += f"; the same command {resume} goes on"
    if os.environ.get("RANK", "0") == "0":
        say(line, 0)
    return 128 + int(signum)


def foreign(error: Exception, resume: str, command: str) -> int:
    """The code and the line for an error that is not one of ours."""
    text, number = one_line(error), getattr(error, "errno", None)
    if number in FULL:
        strerror = os.strerror(number or 0)
        return say(f"failed: {strerror}; the same command {resume} goes on", 1)
    if out_of_memory(error):
        amount = AMOUNT.search(text)
        asked = f" ({amount[1]} were asked for)" if amount else ""
        where = "GPU" if "CUDA" in text or "GPU" in text else "CPU"
        lower = LOWER.get(command)
        return say(
            f"failed: memory ran out on the {where}{asked}"
            + (f"; lower {lower}" if lower else "")
            + f", or with more memory the same command {resume} goes on",
            1,
        )
    if isinstance(error, OSError) and error.filename is not None and number in WRONG_PATH:
        return say(f"error: {error.filename}: {error.strerror}", 2)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1 and LOST.search(text):
        return say(f"failed: another process of this training is gone ({text[:160]})", 1)
    return say(
        f"failed: {type(error).__name__}: {text[:300]}; this is a bug, please report it with "
        f"{traceback_file(error)}",
        1,
    )


def out_of_memory(error: Exception) -> bool:
    """Whether memory was refused: by Python, NumPy, torch on a CPU or a GPU, or the kernel."""
    kinds: tuple[type[Exception], ...] = (MemoryError,)
    if torch := sys.modules.get("torch"):
        kinds += (torch.OutOfMemoryError,)
    refused = isinstance(error, RuntimeError) and REFUSED.search(str(error)) is not None
    return isinstance(error, kinds) or refused or getattr(error, "errno", None) == errno.ENOMEM


def traceback_file(error: Exception) -> str:
    """Write the traceback to a file of its own and return its path, or why there is none."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="nasgait-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            file.write(f"{' '.join(sys.argv)}\n\n")
            traceback.print_exception(error, file=file)
    except OSError as fault:
        return f"what it says when its traceback can be written ({fault.strerror})"
    return file.name


def one_line(error: BaseException) -> str:
    """An error's message as one line."""
    return " ".join(str(error).split())


def say(line: str, code: int) -> int:
    """Print a line for people and return the exit code that goes with it."""
    print(line, file=sys.stderr, flush=True)
    return code
