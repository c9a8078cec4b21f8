"""Small raw datasets on disk, for the tests of import."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np

from nasgait.data.importers import ImportSummary, import_dataset
from nasgait.data.layouts import list_dataset
from nasgait.data.store import GaitStore


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


def import_grew(root, out, **options) -> ImportSummary:
    """Import a GREW tree; in this process unless told otherwise."""
    return import_dataset("grew", root, out, **({"workers": 1, "progress": False} | options))


def import_pickles(root, out, **options) -> ImportSummary:
    """Import an OpenGait pickle tree in this process."""
    return import_dataset("opengait-pkl", root, out, workers=1, progress=False, **options)


def by_key(path) -> dict:
    """Subset and frames of each sequence of a store."""
    store = GaitStore.open(path)
    return {s.key: (s.subset, store[i]) for i, s in enumerate(store.sequences)}


def imported(layout: str, root: Path, **options):
    """Import a tree in this process into a store beside it: summary, and :func:`by_key`."""
    out = root.parent / f"store-{len(list(root.parent.iterdir()))}"
    options = {"workers": 1, "progress": False} | options
    summary = import_dataset(layout, root, out, **options)
    return summary, by_key(out)


def subsets(layout: str, root: Path, partition=None) -> dict[str, str]:
    """Subset of each identity of a tree."""
    return {raw.label: raw.subset for raw in list_dataset(layout, root, partition)}


def partition_file(path: Path, train, test, **more) -> Path:
    """An OpenGait partition JSON."""
    path.write_text(json.dumps({"TRAIN_SET": train, "TEST_SET": test} | more))
    return path


def tree(root: Path, *folders: str, names: str = "{:05d}.png", shape=(60, 50)) -> dict:
    """Pictures of walkers in these folders; the frames by folder."""
    rng = np.random.default_rng(len(folders))
    content = {}
    for folder in folders:
        content[folder] = walkers(rng, int(rng.integers(2, 5)), shape)
        (root / folder).mkdir(parents=True)
        for number, image in enumerate(content[folder]):
            cv2.imwrite(str(root / folder / names.format(number)), image)
    return content
