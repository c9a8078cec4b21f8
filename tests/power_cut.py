"""What a power cut leaves of a folder: renames up to then, of each file what was synced."""

import os
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch


class PowerCut(BaseException):
    """The machine is off: nothing catches this, and nothing is cleaned up."""


class Disk:
    """Watches a folder, and cuts the power before the event of a number.

    Events are a file or folder being synced, a file being replaced or removed.  What a file
    holds counts from when it was synced; what is there at the start is safe.
    """

    def __init__(self, folder, cut_before=None):
        self.folder = Path(folder)
        self.events = []
        self.off = False
        self._cut_before = cut_before
        self._synced = {}

    @contextmanager
    def watched(self):
        """Watch within; a power cut ends it, and then the folder is as the cut left it."""
        for path in self._files():
            self._synced[path.stat().st_ino] = path.read_bytes()
        names = ("fsync", "replace", "rename", "unlink", "remove")
        self._real = {name: getattr(os, name) for name in names}
        with patch.multiple(os, **{name: getattr(self, f"_{name}") for name in names}):
            try:
                yield self
            except PowerCut:
                assert self.off
        if self.off:
            self._lose()

    def _files(self):
        return [path for path in self.folder.rglob("*") if path.is_file()]

    def _lose(self):
        for path in self._files():
            path.write_bytes(self._synced.get(path.stat().st_ino, b""))

    def _happens(self, what, path):
        if self.off or len(self.events) == self._cut_before:
            self.off = True
            raise PowerCut
        self.events.append((what, self._name(path)))

    def _name(self, path):
        """The name within the folder; the random letters of a temporary file are left out."""
        name = os.path.relpath(path, self.folder)
        return name.rpartition(".")[0] + ".*" if name.startswith(".") and name != "." else name

    def _fsync(self, handle):
        handle = handle if isinstance(handle, int) else handle.fileno()
        path = os.readlink(f"/proc/self/fd/{handle}")
        self._happens("sync", path)
        self._real["fsync"](handle)
        if not os.path.isdir(path):
            self._synced[os.fstat(handle).st_ino] = Path(path).read_bytes()

    def _replace(self, source, target, **options):
        self._happens("replace", target)
        if os.path.exists(target):
            self._synced.pop(os.stat(target).st_ino, None)
        self._real["replace"](source, target, **options)

    _rename = _replace

    def _unlink(self, path, **options):
        self._happens("remove", path)
        if os.path.exists(path):
            self._synced.pop(os.stat(path).st_ino, None)
        self._real["unlink"](path, **options)

    _remove = _unlink


def cuts(folder, work):
    """Do ``work(folder)`` again and again, cut off before each of its events in turn.

    Yields the folder of each attempt as the cut left it, and what the whole of it yielded of
    ``work`` until then: the last attempt is a whole one.
    """
    number = 0
    while True:
        place = Path(folder) / str(number)
        place.mkdir()
        acknowledged = []
        disk = Disk(place, number)
        with disk.watched():
            for done in work(place):
                acknowledged.append(done)
        yield place, acknowledged
        if not disk.off:
            return
        number += 1
