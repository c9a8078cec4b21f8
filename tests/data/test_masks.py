"""Masks of other meanings: what is certain becomes silhouettes and is told, the rest is named."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from raw_trees import frames, import_grew, imported, walkers

from nasgait.core.errors import ConfigError, DataError
from nasgait.data.readers import Options
from nasgait.data.store import GaitStore, StoreWriter
from nasgait.data.store_masks import mask_faults

TRUE = frames(np.random.default_rng(0), 6)
"""Silhouettes of the store's size: uint8 [6, 64, 64], 0 and 255."""


def palette(image, background, person):
    """An image of colour indices 0 and 1."""
    picture = Image.fromarray((image > 0).astype(np.uint8), "L").convert("P")
    picture.putdata(list((image > 0).astype(np.uint8).reshape(-1)))
    picture.putpalette([*background, *person])
    return picture


def with_alpha(grey, alpha):
    return Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])


CERTAIN = {
    "0 and 1": (lambda m: Image.fromarray(m // 255), "values 0 and 1 were read as masks"),
    "0 and 15": (lambda m: Image.fromarray(m // 255 * 15), "values 0 and 15 were read as masks"),
    "1 and 2": (lambda m: Image.fromarray(m // 255 + 1), "values 1 and 2 were read as masks"),
    "one bit": (lambda m: Image.fromarray(m).convert("1"), None),
    "16 bits": (lambda m: Image.fromarray(m.astype(np.uint16) * 257), "values 0 and 65535 "),
    "0 and 1 in 16 bits": (lambda m: Image.fromarray((m // 255).astype(np.uint16)), "values 0 and"),
    "white background": (lambda m: Image.fromarray(255 - m), "white backgrounds were inverted"),
    "white background, 0 and 1": (lambda m: Image.fromarray(1 - m // 255), "white backgrounds"),
    "one bit, white background": (lambda m: Image.fromarray(255 - m).convert("1"), "white back"),
    "grey palette": (lambda m: palette(m, (0, 0, 0), (255, 255, 255)), None),
    "colours of a palette": (lambda m: palette(m, (0, 0, 0), (128, 0, 0)), "values 0 and 38"),
    "dark blue": (lambda m: palette(m, (0, 0, 0), (0, 0, 64)), "values 0 and 7"),
    "red on white": (lambda m: palette(m, (255, 255, 255), (255, 0, 0)), "white backgrounds"),
    "mask in alpha": (lambda m: with_alpha(np.full_like(m, 255), m), "the alpha channel was read"),
    "black in alpha": (lambda m: with_alpha(m * 0, m), "the alpha channel was read as the mask"),
    "alpha everywhere": (lambda m: with_alpha(m, np.full_like(m, 255)), None),
    "transparent index": (lambda m: palette(m, (9, 9, 9), (200, 0, 0)), "values 9 and 60"),
}


def made(root: Path, picture, masks=TRUE, suffix="png", **options) -> Path:
    """A GREW tree of two identities whose frames are made from masks."""
    for label in ("1", "2"):
        folder = root / "train" / label / "a"
        folder.mkdir(parents=True)
        for number, mask in enumerate(masks):
            picture(mask).save(folder / f"{number:03d}.{suffix}", **options)
    return root


@pytest.mark.parametrize("bits", [8, 1])
@pytest.mark.parametrize("name", CERTAIN)
def test_what_is_certain_is_scaled_and_told_once(tmp_path, name, bits):
    picture, note = CERTAIN[name]
    summary, found = imported("grew", made(tmp_path / "raw", picture), bits=bits)
    assert not summary.faults
    assert all(np.array_equal(got, TRUE) for _, got in found.values())
    told = [text for text in summary.notes if note and text.startswith(note)]
    assert len(told) == (note is not None), summary.notes
    assert all("2 sequences, e.g. train/1/a" in text for text in summary.notes)
    if note is None:
        assert summary.notes == []


def classes(mask):
    out = mask // 255
    out[:30] *= 2
    return out


def photo(mask):
    noise = np.random.default_rng(1).integers(40, 220, mask.shape, dtype=np.uint8)
    return np.where(mask > 0, noise, noise // 2 + 60).astype(np.uint8)


def framed(mask):
    out = 255 - mask
    out[[0, -1]] = out[:, [0, -1]] = 0
    return out


UNCERTAIN = {
    "classes": (lambda m: Image.fromarray(classes(m)), "values from 0 to 2.*--threshold 1", 1),
    "classes, spread": (lambda m: Image.fromarray(classes(m) * 100), "numbers of classes", 1),
    "grey photo": (lambda m: Image.fromarray(photo(m)), "grey pictures.*--threshold N", None),
    "two colours and a shade": (
        lambda m: Image.merge("RGB", [Image.fromarray(x) for x in (m, classes(m) * 90, m * 0)]),
        "more than two colours.*--threshold N",
        1,
    ),
}


@pytest.mark.parametrize("name", UNCERTAIN)
def test_what_is_not_certain_is_left_out_with_the_cure(tmp_path, name):
    picture, message, threshold = UNCERTAIN[name]
    root = made(tmp_path / "raw", picture)
    with pytest.raises(DataError, match=f"no sequence can be read; the first: .*{message}"):
        imported("grew", root)
    if threshold:
        summary, found = imported("grew", root, options=Options(threshold=threshold))
        assert not summary.faults and np.array_equal(found["1train-00-a"][1], TRUE)


def test_a_border_that_does_not_tell_the_background(tmp_path):
    root = made(tmp_path / "raw", lambda m: Image.fromarray(framed(m)))
    with pytest.raises(DataError, match=r"0% of the border.*--no-invert.*--invert if"):
        imported("grew", root)
    _, found = imported("grew", root, options=Options(invert=True))
    inner = (slice(None), slice(1, -1), slice(1, -1))
    assert np.array_equal(found["1train-00-a"][1][inner], TRUE[inner])
    _, found = imported("grew", root, options=Options(invert=False))
    assert np.array_equal(found["1train-00-a"][1][inner], 255 - TRUE[inner])


def test_a_picture_with_another_alpha_channel(tmp_path):
    other = np.roll(TRUE[0], 9, axis=1)
    root = made(tmp_path / "raw", lambda m: with_alpha(m, other))
    with pytest.raises(
        DataError, match=r"000\.png has a picture and an alpha.*--alpha.*--no-alpha"
    ):
        imported("grew", root)
    _, found = imported("grew", root, options=Options(alpha=False))
    assert np.array_equal(found["1train-00-a"][1], TRUE)
    _, found = imported("grew", root, options=Options(alpha=True))
    assert np.array_equal(found["1train-00-a"][1], np.stack([other] * 6))
    plain = made(tmp_path / "plain", Image.fromarray)
    with pytest.raises(DataError, match="has no alpha channel; leave out --alpha"):
        imported("grew", plain, options=Options(alpha=True))


def test_frames_of_two_kinds_in_a_sequence(tmp_path):
    mixed = [*TRUE[:3], *(255 - TRUE[3:])]
    with pytest.raises(DataError, match="background is white in 3 of its 6 frames; give --invert"):
        imported("grew", made(tmp_path / "a", Image.fromarray, mixed))
    mixed = [*TRUE[:3], *(TRUE[3:] // 255)]
    with pytest.raises(DataError, match=r"values 0, 1, 255 look like|others none from 128"):
        imported("grew", made(tmp_path / "b", Image.fromarray, mixed))


def test_a_frame_that_is_white_all_over_tells_nothing(tmp_path):
    for name, masks in {"a": TRUE, "b": 255 - TRUE}.items():
        frames_ = [TRUE[0] * 0 + 255, *masks[1:]]
        summary, found = imported("grew", made(tmp_path / name, Image.fromarray, frames_))
        assert not summary.faults and len(summary.notes) == (name == "b")
        assert np.array_equal(found["1train-00-a"][1][-5:], TRUE[1:])


def test_soft_outlines_and_tight_crops_stay_as_they_are(tmp_path):
    soft = [cv2.GaussianBlur(mask, (0, 0), 1.5) for mask in TRUE]
    summary, found = imported("grew", made(tmp_path / "raw", Image.fromarray, soft))
    assert not summary.faults and not summary.notes
    assert np.array_equal(found["1train-00-a"][1], np.stack(soft))
    tall = walkers(np.random.default_rng(2), 4, (200, 150))
    boxes = [mask[np.ix_(mask.any(1), mask.any(0))] for mask in tall]
    summary, _ = imported("casia-b", made(tmp_path / "c", Image.fromarray, boxes).parent / "c",
                          partition=_everyone(tmp_path))  # fmt: skip
    assert not summary.faults and not summary.notes


def _everyone(folder):
    file = folder / "p.json"
    file.write_text('{"TRAIN_SET": ["train"], "TEST_SET": []}')
    return file


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "bmp", "tif", "TIFF", "webp"])
@pytest.mark.parametrize("mode", ["L", "1"])
def test_other_formats(tmp_path, suffix, mode):
    options = {"quality": 100, "lossless": True} if suffix == "webp" else {}
    root = made(
        tmp_path / "raw", lambda m: Image.fromarray(m).convert(mode), suffix=suffix, **options
    )
    summary, found = imported("grew", root)
    assert not summary.faults and not summary.notes
    assert all(((got > 127) == (TRUE > 127)).mean() > 0.99 for _, got in found.values())


ARRAYS = {
    "float 0 to 1": (TRUE.astype(np.float32) / 255, "values from 0 to 1 were read as masks"),
    "float64 0 to 255": (TRUE.astype(np.float64), None),
    "bool": (TRUE > 0, None),
    "int16": (TRUE.astype(np.int16), None),
    "0 and 1": (TRUE // 255, "values 0 and 1 were read as masks"),
    "int64 0 and 1": ((TRUE // 255).astype(np.int64), "values 0 and 1 were read as masks"),
    "uint16": (TRUE.astype(np.uint16) * 257, "values 0 and 65535 were read as masks"),
    "channel first": (TRUE[:, None], None),
    "channel last": (TRUE[..., None], None),
    "inverted": (255 - TRUE, "white backgrounds were inverted"),
    "inverted, cut": (255 - TRUE[:, :, 10:54], "white backgrounds were inverted"),
}


def pickled(root: Path, array) -> Path:
    for label in ("1", "2"):
        (root / label / "a" / "b").mkdir(parents=True)
        (root / label / "a" / "b" / "b.pkl").write_bytes(pickle.dumps(np.ascontiguousarray(array)))
    return root


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_in_pickles(tmp_path, name):
    array, note = ARRAYS[name]
    summary, found = imported("opengait-pkl", pickled(tmp_path / "raw", array))
    columns = slice(10, 54) if "cut" in name else slice(None)
    expected = np.zeros_like(TRUE)
    expected[:, :, columns] = TRUE[:, :, columns]
    assert not summary.faults and np.array_equal(found["1-a-b"][1], expected)
    assert [text.partition(":")[0] for text in summary.notes] == ([note] if note else [])


@pytest.mark.parametrize(
    "array, message",
    [
        (TRUE.astype(np.float32) / 127.5 - 1, "pixels outside 0..255: -1 to 1"),
        (np.full((2, 64, 64), np.nan), "not finite"),
        (np.full((2, 64, 64), 255, np.uint8), "all pixels are white"),
        (np.full((2, 64, 64), 7, np.uint8), "all pixels have the value 7"),
        (np.zeros((2, 17, 3), np.float32), "17 x 3 pixels|shows anything"),
        (np.zeros((2, 3, 64, 64), np.uint8), r"uint8 \[2, 3, 64, 64\], not silhouettes"),
        (np.ones((2, 12, 3), np.float32), "12 x 3 pixels are no silhouettes"),
    ],
)
def test_arrays_that_are_no_silhouettes(tmp_path, array, message):
    with pytest.raises(DataError, match=message):
        imported("opengait-pkl", pickled(tmp_path / "raw", array))


@pytest.mark.parametrize("threshold", [0, 256, -1])
def test_threshold_out_of_range(threshold):
    with pytest.raises(ConfigError, match=f"threshold {threshold}: allowed are 1 to 255"):
        Options(threshold=threshold)


def test_stores_made_before(tmp_path):
    with StoreWriter(tmp_path / "old") as writer:
        for name, images in {
            "0 and 1": TRUE // 255,
            "black": TRUE * 0,
            "inverted": 255 - TRUE,
            "sound": TRUE,
            "soft": np.stack([cv2.GaussianBlur(mask, (0, 0), 1.5) for mask in TRUE]),
        }.items():
            writer.add("x", "y", name, "train", images)
    assert mask_faults(GaitStore.open(tmp_path / "old")) == [
        "1 sequences, e.g. x-y-0 and 1: values 0 and 1 instead of 0 and 255; "
        "import the dataset again",
        "1 sequences, e.g. x-y-black: all black; import the dataset again",
        "1 sequences, e.g. x-y-inverted: inverted, the background is white; "
        "import the dataset again",
    ]


def test_what_was_said_at_the_import_is_not_doubted(tmp_path):
    root = made(tmp_path / "raw", lambda m: Image.fromarray(255 - m))
    import_grew(root, tmp_path / "out", options=Options(invert=False))
    store = GaitStore.open(tmp_path / "out")
    assert np.array_equal(store[0], 255 - TRUE) and mask_faults(store) == []
