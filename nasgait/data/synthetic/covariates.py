"""What changes a walker's silhouette from walk to walk: clothes, load, occluders, segmentation."""

from dataclasses import dataclass

import cv2
import numpy as np

from nasgait.data.synthetic.solids import BAGS, Outfit


def draw_outfit(kind: str, rng: np.random.Generator) -> Outfit:
    """Draw clothes and load for a walk of a kind: ``nm``, ``bg``, ``cl``, ``sp`` or ``oc``.

    All kinds draw the same numbers, so that the everyday clothes do not depend on the kind.
    """
    sleeves, trousers, top = rng.uniform(0.97, [1.20, 1.30, 1.08])
    coat, hem = rng.uniform([0.008, 0.3], [0.018, 1.1])
    hat = rng.uniform(0.01, 0.04) * (rng.random() < 0.4)
    bag = BAGS[1 + rng.integers(3)]
    size = rng.uniform(
        *{"backpack": (0.075, 0.11), "shoulder": (0.07, 0.11)}.get(bag, (0.05, 0.09))
    )
    side = float(rng.choice([-1.0, 1.0]))
    outfit = Outfit(float(sleeves), float(trousers), float(top))
    if kind == "bg":
        return Outfit(outfit.sleeves, outfit.trousers, outfit.top, 0.0, 0.0, 0.0, bag, size, side)
    if kind == "cl":
        sleeves = outfit.sleeves + 0.2
        return Outfit(sleeves, outfit.trousers, outfit.top, float(coat), float(hem), float(hat))
    return outfit


@dataclass(frozen=True)
class Segmentation:
    """Faults of the segmentation, for a walker about 130 pixels tall.

    ``ragged``: amplitude of border noise; ``bias``: 0 keeps the outline, positive fattens
    it by about a pixel for each 0.2; ``faults``: expected holes and blobs in 30 frames.
    """

    ragged: float
    bias: float
    faults: float


def draw_segmentation(rng: np.random.Generator) -> Segmentation:
    """Draw how badly a walk in the wild is segmented."""
    ragged, bias = rng.uniform([0.03, -0.15], [0.14, 0.15])
    return Segmentation(float(ragged), float(bias), float(rng.gamma(1.0, 0.9)))


def segment(masks: np.ndarray, quality: Segmentation, rng: np.random.Generator) -> np.ndarray:
    """Roughen masks uint8 [s, h, w] in place and return them."""
    frames, height, width = masks.shape
    _faults(masks, quality.faults, rng)
    texture: np.ndarray = rng.normal(size=(height + 32, width + 32)).astype(np.float32)
    texture = cv2.GaussianBlur(texture, (0, 0), 1.6)
    texture *= 255 * quality.ragged / texture.std()
    np.clip(texture, -80, 80, out=texture)
    level = 127.5 * (1 - quality.bias)
    # The noise moves along the border, as the background does behind a walker.
    path = 16 + np.cumsum(rng.normal(0, 1.0, (frames, 2)), 0)
    path = np.round(16 - np.abs(path % 64 - 32) / 2 + 8).astype(int).clip(0, 31)
    for mask, (dy, dx) in zip(masks, path, strict=True):
        soft = cv2.GaussianBlur(mask, (0, 0), 1.8).astype(np.float32)
        # The noise shows on the border only, not where the mask is surely on or off.
        soft += texture[dy : dy + height, dx : dx + width]
        np.copyto(mask, np.where(soft > level, np.uint8(255), np.uint8(0)))
    return masks


def _faults(masks: np.ndarray, rate: float, rng: np.random.Generator) -> None:
    """Cut holes and stick blobs to the body, each for a few successive frames."""
    frames = len(masks)
    for _ in range(rng.poisson(rate * frames / 30)):
        start, span = int(rng.integers(frames)), int(rng.integers(1, 9))
        rows, columns = np.nonzero(masks[start])
        if not len(rows):
            continue
        pick = rng.integers(len(rows))
        tall = rows[-1] - rows[0]
        axes = np.maximum(rng.uniform(0.015, 0.05, 2) * tall, 1).astype(int).tolist()
        value = 0 if rng.random() < 0.7 else 255
        for mask in masks[start : start + span]:
            centre = int(columns[pick]), int(rows[pick])
            cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, value, -1)


def occlude(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let the walker pass behind something (masks uint8 [s, h, w], in place).

    A post hides the whole height; a low object (a bench, a car) is wider and hides the
    legs below the knees; a bush is a blob that hides half of the height.
    """
    frames, _, width = masks.shape
    kind = ("post", "low", "bush")[rng.integers(3)]
    tall = np.ptp(np.flatnonzero(masks.any((0, 2))))
    foot = int(np.flatnonzero(masks.any((0, 2)))[-1])
    share = {"post": (0.05, 0.12), "low": (0.3, 0.6), "bush": (0.12, 0.25)}[kind]
    wide = rng.uniform(*share) * tall
    high = {"post": 1.2, "low": rng.uniform(0.12, 0.25), "bush": rng.uniform(0.35, 0.6)}[
        kind
    ] * tall
    speed = rng.choice([-1, 1]) * rng.uniform(0.010, 0.03) * tall
    middle = rng.uniform(0.3, 0.7) * frames
    for t, mask in enumerate(masks):
        at = width / 2 + speed * (t - middle)
        left, right = round(at - wide / 2), round(at + wide / 2)
        if right <= 0 or left >= width:
            continue
        if kind == "bush":
            axes = (max(1, round(wide / 2)), max(1, round(high)))
            cv2.ellipse(mask, (round(at), foot), axes, 0, 0, 360, 0, -1)
        else:
            mask[max(0, foot - round(high)) :, max(left, 0) : right] = 0
    return masks
