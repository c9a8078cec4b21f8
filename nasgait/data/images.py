"""Decoding image files, whose size is bounded before memory is taken for it."""

import struct
from typing import NamedTuple

import cv2
import numpy as np

from nasgait.core.errors import DataError

MAX_PIXELS = 2**24
"""An image that claims more pixels is not decoded; a silhouette has a few thousand."""
NEARLY_GREY = 24
"""Channels that differ by no more are those of a grey picture that was compressed."""
PNG_CHUNK = struct.Struct(">I4s")
PNG_HEADER = struct.Struct(">IIBB")
ALPHA = "the alpha channel was read as the mask"


class Picture(NamedTuple):
    """A decoded image."""

    grey: np.ndarray
    """[h, w], uint8 in nearly all files, else as in the file."""
    coloured: bool = False
    """Whether it has colours; ``grey`` is then its brightness."""
    note: str = ""
    """What was decided about it and must be told; '' as a rule."""


_Header = tuple[int, int, int]
"""Width, height, and how OpenCV is to decode the image."""


def decode(data: bytes, alpha: bool | None = None) -> Picture:
    """A PNG, JPEG, BMP, TIFF or WebP image; its content tells the format, not its name.

    Args:
        data: The file.
        alpha: Whether the alpha channel is the mask.  By default it is where all that is visible
            has one colour, and it says nothing where it is the same everywhere.

    Raises:
        DataError: not such an image, damaged, more than :data:`MAX_PIXELS`, or colours and alpha
            channel both vary and ``alpha`` does not say which is the mask.  The message is the
            reason alone.
    """
    try:
        header = _header(data)
    except (struct.error, IndexError):
        header = None
    if header is None:
        raise DataError("cannot be decoded as an image")
    width, height, flag = header
    if width * height > MAX_PIXELS:
        raise DataError(
            f"has {width} x {height} pixels, more than the limit of {MAX_PIXELS}; "
            "scale the pictures down"
        )
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:
        image = None
    if image is None:
        raise DataError("cannot be decoded as an image")
    if image.ndim == 2:
        if alpha:
            raise DataError("has no alpha channel; leave out --alpha")
        return Picture(image)
    return _of_channels(image, alpha)


def _of_channels(image: np.ndarray, alpha: bool | None) -> Picture:
    """The picture of several channels, blue, green, red and perhaps alpha: [h, w, c]."""
    if image.dtype not in (np.uint8, np.uint16):
        image = image.astype(np.float32)
    grey, coloured = _brightness(image[..., :3] if image.shape[2] > 2 else image[..., :1])
    opacity = image[..., -1] if image.shape[2] in (2, 4) else None
    if alpha:
        if opacity is None:
            raise DataError("has no alpha channel; leave out --alpha")
        return Picture(np.ascontiguousarray(opacity))
    if alpha is None and opacity is not None and (opacity != opacity[0, 0]).any():
        visible = grey[opacity > 0]
        if (visible != visible[0]).any():
            raise DataError(
                "has a picture and an alpha channel that differ: give --alpha if the mask is the "
                "alpha channel, --no-alpha if it is the picture"
            )
        return Picture(np.ascontiguousarray(opacity), note=ALPHA)
    return Picture(grey, coloured)


def _brightness(image: np.ndarray) -> tuple[np.ndarray, bool]:
    first = np.ascontiguousarray(image[..., 0])
    if image.shape[2] == 1:
        return first, False
    others = image[..., 1:]
    if (others == first[..., None]).all():
        return first, False
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)
    spread = image.max(axis=2).astype(np.float32) - image.min(axis=2)
    return grey, bool(spread.max() > NEARLY_GREY)


def _header(data: bytes) -> _Header | None:
    """Size of the image and how to decode it; None for another format."""
    if data[:4] == b"\x89PNG":
        return _png(data)
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg(data)
    if data[:2] == b"BM":
        return _bmp(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    return None


def _png(data: bytes) -> _Header:
    width, height, depth, kind = PNG_HEADER.unpack_from(data, 16)
    # Up to 8 bits of grey without a transparent value: all there is of most datasets.
    plain, at, name = kind == 0 and depth <= 8, 8, b""
    while name != b"IEND":
        length, name = PNG_CHUNK.unpack_from(data, at)
        at += length + 12
        if at > len(data):  # cut off, and the decoder would take memory for what is claimed
            raise IndexError
        if name == b"tRNS":
            plain = False
    return width, height, cv2.IMREAD_GRAYSCALE if plain else cv2.IMREAD_UNCHANGED


def _jpeg(data: bytes) -> _Header:
    if data.rfind(b"\xff\xd9") < 0:  # cut off: decoders fill the rest with grey
        raise IndexError
    at = 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:
            at += 1
        marker = data[at + 1]
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height, cv2.IMREAD_ANYCOLOR
        if data[at] != 0xFF or length < 2:
            raise IndexError
        at += 2 + length


def _bmp(data: bytes) -> _Header:
    (size,) = struct.unpack("<I", data[14:18])
    pattern, end = ("<HH", 22) if size == 12 else ("<ii", 26)
    width, height = struct.unpack(pattern, data[18:end])
    return abs(width), abs(height), cv2.IMREAD_UNCHANGED


def _tiff(data: bytes) -> _Header:
    order = "<" if data[:2] == b"II" else ">"
    (at,) = struct.unpack(order + "I", data[4:8])
    (count,) = struct.unpack(order + "H", data[at : at + 2])
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack(order + "HH", data[entry : entry + 4])
        if tag in (256, 257, 262):
            form = order + ("H" if kind == 3 else "I")
            (tags[tag],) = struct.unpack_from(form, data, entry + 8)
    if tags.get(262) == 5:
        raise DataError("is a TIFF in colours for print (CMYK); save it in grey")
    if 256 not in tags or 257 not in tags:
        raise IndexError
    return tags[256], tags[257], cv2.IMREAD_UNCHANGED


def _webp(data: bytes) -> _Header:
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8L":
        (bits,) = struct.unpack("<I", data[21:25])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[26:30]))
    return width, height, cv2.IMREAD_UNCHANGED
