"""Runs a tiny stage, sends it a signal at some moment, and looks at how it ended."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SECONDS = 120
"""After which a stage that was asked to stop counts as lost."""
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
TIMES = ("seconds", "train_seconds", "checksum")


@dataclass(frozen=True)
class Stage:
    """A command over an output folder; the same command with ``resume`` goes on."""

    words: tuple[object, ...]
    out: Path
    resume: tuple[str, ...] = ("--resume",)
    files: tuple[str, ...] = ()
    """What it leaves that must not depend on interruptions, as globs below ``out``."""

    def start(self, resume: bool, mark: str) -> subprocess.Popen[str]:
        """Begin in a session of its own, marked in the environment."""
        words = [*self.words, *(self.resume if resume else ())]
        environment = os.environ | {"NASGAIT_TEST": mark}
        for name in ("NASGAIT_LAUNCHER", "RANK", "WORLD_SIZE"):
            environment.pop(name, None)
        return subprocess.Popen(
            [sys.executable, "-m", "nasgait", *map(str, words)],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
        )

    def content(self) -> dict[str, object]:
        """The files that must be those of an undisturbed stage, without times."""
        found = {}
        for pattern in self.files:
            for path in sorted(self.out.glob(pattern)):
                found[str(path.relative_to(self.out))] = comparable(path)
        return found


def comparable(path: Path) -> object:
    """A file's content without the times in it; lines of a ledger in any order."""
    if path.suffix == ".jsonl":
        return sorted((json.dumps(timeless(json.loads(line))) for line in path.open()), key=str)
    if path.suffix == ".json":
        return timeless(json.loads(path.read_text()))
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name].tolist() for name in arrays.files}
    return hashlib.sha256(path.read_bytes()).hexdigest()


def timeless(value: object) -> object:
    """The value without what differs from run to run: times, and checksums of lines with times."""
    if isinstance(value, dict):
        left = {k: v for k, v in value.items() if k not in (*TIMES, "crc", "crc32", "checksum")}
        return {key: timeless(inner) for key, inner in left.items()}
    if isinstance(value, list):
        return [timeless(inner) for inner in value]
    return value


def marked(mark: str) -> list[int]:
    """Processes that inherited the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


@dataclass
class Ending:
    """How a stage ended that was sent a signal."""

    code: int
    err: str
    seconds: float
    """From the signal to the end."""
    sent: bool
    """False where the stage was over before."""
    faults: list[str] = field(default_factory=list)


def interrupt(stage: Stage, delay: float, signum: int, group: bool, resume: bool = False) -> Ending:
    """Send ``signum`` after ``delay`` seconds, to the whole group as Ctrl-C does or to one."""
    mark = uuid.uuid4().hex
    process = stage.start(resume, mark)
    try:
        try:
            _, err = process.communicate(timeout=delay)
            return Ending(process.returncode, err, 0.0, False)
        except subprocess.TimeoutExpired:
            pass
        (os.killpg if group else os.kill)(process.pid, signum)
        sent = time.monotonic()
        faults = []
        try:
            _, err = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            faults.append(f"still running {SECONDS} s after signal {signum}")
            os.killpg(process.pid, signal.SIGKILL)
            _, err = process.communicate()
        ending = Ending(process.returncode, err, time.monotonic() - sent, True, faults)
        judge(ending, signum, mark)
        return ending
    finally:
        for left in marked(mark):
            try:
                os.kill(left, signal.SIGKILL)
            except ProcessLookupError:
                continue


def judge(ending: Ending, signum: int, mark: str) -> None:
    """Note what is wrong with the end of a stage."""
    if "Traceback" in ending.err or "Exception ignored" in ending.err:
        ending.faults.append("a traceback")
    if ending.code not in (0, 128 + signum):
        ending.faults.append(f"code {ending.code}")
    if ending.code and f"{WORDS[signal.Signals(signum)]}" not in ending.err:
        ending.faults.append("no words")
    if ending.code and ending.err.count("goes on") != 1:
        ending.faults.append(f"said {ending.err.count('goes on')} times how to go on")
    deadline = time.monotonic() + 5
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    if left:
        ending.faults.append(f"{len(left)} processes stay")


def finish(stage: Stage, resume: bool) -> str | None:
    """Run the stage to its end; what went wrong, if anything did."""
    process = stage.start(resume, uuid.uuid4().hex)
    _, err = process.communicate(timeout=600)
    return None if process.returncode == 0 else f"resume ended with {process.returncode}: {err}"
