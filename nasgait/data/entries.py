"""What lies in the folders of a raw dataset: one filter for all layouts, and bounded reading.

Every entry of a folder is a folder, a file of the kind that is looked for, something that never
holds frames (hidden files, notes; they are counted), or it is left out and named.
"""

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from nasgait.core.errors import DataError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
PICKLES = (".pkl", ".pickle")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
NOTES = (".txt", ".json", ".csv", ".md", ".xml", ".yaml", ".yml", ".log", ".html", ".pdf")
"""Files that accompany datasets and hold no frames, e.g. the poses of GREW."""
OF_SYSTEMS = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin"}
"""What operating systems leave in folders, beside hidden files."""
EXCERPT = 200
"""Characters of a message that quotes a file."""
PLAINLY = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
HIDDEN, TEXTS, ENERGY = "hidden and system files", "text files", "gait energy images"


@dataclass
class Entries:
    """The entries of a folder, sorted by name."""

    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """Files of the kind that was looked for; links that lead nowhere and devices among them,
    which :func:`read_bounded` refuses."""
    left_out: list[str] = field(default_factory=list)
    """``name: reason`` of everything else, of several for the same reason the first."""
    beside: Counter[str] = field(default_factory=Counter)
    """Numbers of hidden files, text files and gait energy images."""


def look(folder: str, wanted: tuple[str, ...] = (), spare: bool = False) -> Entries:
    """Sort out what lies in a folder.

    Args:
        folder: Its path.
        wanted: Endings of the files that are looked for; none where only folders are expected.
        spare: Sub-folders are left out, because files are expected here.

    Raises:
        OSError: the folder cannot be read.
    """
    found = Entries()
    others: dict[str, list[str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            low = name.lower()
            if name[0] == "." or low in OF_SYSTEMS:
                found.beside[HIDDEN] += 1
            elif wanted and low.endswith(wanted):
                if low.endswith("gei.png"):
                    found.beside[ENERGY] += 1
                else:
                    found.files.append(name)
            elif _is_folder(entry):
                if spare:
                    others.setdefault("a folder where files are expected", []).append(name)
                else:
                    found.folders.append(name)
            elif low.endswith(NOTES):
                found.beside[TEXTS] += 1
            else:
                others.setdefault(_why(entry, low), []).append(name)
    found.files.sort()
    found.folders.sort()
    found.left_out = sorted(_grouped(sorted(names), why) for why, names in others.items())
    return found


def told(beside: Iterable[str]) -> str:
    """What is said of files that hold no frames."""
    return f"{', '.join(sorted(beside))} were not read"


def read_bounded(path: str, limit: int) -> bytes:
    """The bytes of a regular file; follows no link to a device, reads no more than ``limit``.

    Raises:
        DataError: not a regular file, larger than the limit, or unreadable; the message is the
            reason alone.
    """
    try:
        try:
            # Neither blocking at a pipe nor following a link, which may lead to a device.
            descriptor = os.open(path, PLAINLY | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EMLINK):
                raise
            _require_file(os.stat(path))
            descriptor = os.open(path, PLAINLY)
        try:
            status = os.fstat(descriptor)
            _require_file(status)
            if status.st_size > limit:
                raise DataError(
                    f"has {status.st_size} bytes; files of at most {limit} are read, "
                    "so split or shrink it"
                )
            data = os.read(descriptor, status.st_size)
            while len(data) < status.st_size and (more := os.read(descriptor, status.st_size)):
                data += more[: status.st_size - len(data)]
        finally:
            os.close(descriptor)
    except OSError as error:
        raise DataError(reason(error, path)) from None
    if not data:
        raise DataError("is empty")
    return data


def reason(error: OSError, path: str) -> str:
    """Why a file or folder cannot be read, in words."""
    if error.errno == errno.ENOENT and os.path.islink(path):
        return f"is a link to {shown(os.readlink(path))}, which is not there"
    return f"cannot be read ({error.strerror})"


def shown(text: str) -> str:
    """A name as messages show it: what cannot be printed in a line is escaped."""
    return text if text.isprintable() else repr(text)[1:-1]


def excerpt(text: str) -> str:
    """What a library says of a file, in one line of bounded length: it may quote the file."""
    line = shown(" ".join(text[:EXCERPT].split()))
    return line + ("..." if len(text) > EXCERPT else "")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _why(entry: os.DirEntry[str], low: str) -> str:
    """Why a file is left out where it lies."""
    try:
        status = entry.stat()
    except OSError as error:
        return reason(error, entry.path)
    if not stat.S_ISREG(status.st_mode):
        return f"is {_kind(status.st_mode)}"
    if low.endswith(ARCHIVES):
        return "an archive that is not unpacked; unpack it first"
    if low.endswith(IMAGES):
        return "an image where this layout has none; frames lie in the folder of their sequence"
    if low.endswith(PICKLES):
        return "a pickle where this layout has none; --layout opengait-pkl reads pickles"
    return f"no file that is read; frames are {', '.join(IMAGES)}"


def _require_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DataError(f"is {_kind(status.st_mode)}, not a file")


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe or socket" if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else "a device"


def _grouped(names: list[str], why: str) -> str:
    more = f" and {len(names) - 1} more" if names[1:] else ""
    return f"{shown(names[0])}{more}: {why}"
