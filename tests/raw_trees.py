"""Small raw datasets on disk, for the tests of import."""

import pickle
from pathlib import Path

import cv2
import numpy as np


def frames(rng: np.random.Generator, length: int, size: int = 64) -> np.ndarray:
    """Blobs that move: uint8 [length, size, size], 0 and 255."""
    out = np.zeros((length, size, size), np.uint8)
    for t in range(length):
        centre = (int(rng.integers(size // 4, 3 * size // 4)), size // 2)
        cv2.ellipse(out[t], centre, (size // 8, size // 2 - 1), 0, 0, 360, 255, -1)
    return out


def walkers(rng: np.random.Generator, length: int, shape: tuple[int, int]) -> np.ndarray:
    """Blobs half as tall as the picture, somewhere in its middle third: uint8 [length, *shape]."""
    height, width = shape
    out = np.zeros((length, height, width), np.uint8)
    for frame in out:
        centre = (int(rng.integers(width // 3, 2 * width // 3)), height // 2)
        axes = (int(rng.integers(5, 10)), height // 4)
        cv2.ellipse(frame, centre, axes, float(rng.integers(-20, 20)), 0, 360, 255, -1)
    return out


def write_pngs(folder: Path, images) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(images, 1):
        cv2.imwrite(str(folder / f"{number:05d}.png"), image)


def make_grew(root: Path, train=3, test=2, probes=3, distractors=0, length=6) -> dict:
    """A GREW tree; the frames by folder."""
    rng = np.random.default_rng(7)
    folders = [f"train/{i:05d}/s{k}" for i in range(train) for k in range(3)]
    folders += [f"test/gallery/{i:05d}/g{k}" for i in range(test) for k in range(2)]
    folders += [f"test/probe/p{k}" for k in range(probes)]
    folders += [f"distractor/d{k}" for k in range(distractors)]
    content = {folder: frames(rng, length + n % 3) for n, folder in enumerate(folders)}
    for folder, images in content.items():
        write_pngs(root / folder, images)
    return content


def make_pickles(root: Path, ids=("001", "002", "003", "004"), protocol=4) -> dict:
    """An OpenGait pickle tree; the frames by folder."""
    rng = np.random.default_rng(8)
    content = {}
    for label in ids:
        for kind in ("nm-01", "bg-01"):
            folder = root / label / kind / "090"
            folder.mkdir(parents=True)
            content[f"{label}/{kind}/090"] = frames(rng, 5)
            data = pickle.dumps(content[f"{label}/{kind}/090"], protocol=protocol)
            (folder / "090.pkl").write_bytes(data)
    return content
