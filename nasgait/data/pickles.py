"""Reading the pickled arrays of OpenGait without trusting them.

A pickle is a program.  Here it may name only the few functions that NumPy's own pickles call, and
even these are not run: stand-ins check their arguments and build the array from its raw bytes.
Anything else that a pickle names (``os.system``, a class, another function of NumPy) is refused.
"""

import io
import math
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from nasgait.core.errors import DataError

ADMITTED_DTYPE = re.compile(r"(b1|[iu][1248]|f[248])")


class _Dtype:
    """Stands in for ``numpy.dtype``: a plain boolean, integer or floating type."""

    __slots__ = ("spec",)

    def __init__(self, spec: str, align: Any = False, copy: Any = False) -> None:
        if not isinstance(spec, str) or not ADMITTED_DTYPE.fullmatch(spec):
            raise pickle.UnpicklingError(f"arrays of dtype {spec!r} are not read")
        self.spec = spec

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("|", "<", ">", "="):
            raise pickle.UnpicklingError(f"unknown byte order {state[1]!r}")
        self.spec = state[1] + self.spec

    def array(self, data: Any, shape: Any, fortran: bool) -> np.ndarray:
        """The array of these raw bytes; ValueError when they do not fit the shape."""
        if isinstance(data, str):  # bytes of a pickle written by Python 2
            data = data.encode("latin1")
        elif isinstance(data, pickle.PickleBuffer):
            data = data.raw()
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise pickle.UnpicklingError("an array without its raw bytes")
        if not all(isinstance(length, int) and length >= 0 for length in shape):
            raise pickle.UnpicklingError(f"an array of shape {shape!r}")
        flat = np.frombuffer(data, np.dtype(self.spec))
        if flat.size != math.prod(shape):
            raise pickle.UnpicklingError(f"{flat.size} values for shape {shape}")
        return flat.reshape(shape, order="F" if fortran else "C")


class _Array:
    """Stands in for an array that ``_reconstruct`` makes and BUILD fills."""

    __slots__ = ("value",)

    def __init__(self, kind: Any, shape: Any, typecode: Any) -> None:
        self.value: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("an array without a plain dtype")
        self.value = dtype.array(data, shape, bool(fortran))


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    array = _Array(None, None, None)
    array.__setstate__((1, shape, dtype, order == "F", data))
    return array


def _encode(text: str, encoding: str) -> bytes:
    """``_codecs.encode`` as protocols 0 to 2 use it for bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    STAND_INS: dict[tuple[str, str], Any] = {  # noqa: RUF012 (never changed)
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): None,
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy.core.numeric", "_frombuffer"): _from_buffer,
        ("numpy._core.numeric", "_frombuffer"): _from_buffer,
        ("_codecs", "encode"): _encode,
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.STAND_INS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}; only arrays of numbers are read from a pickle"
            ) from None


def _screen(data: bytes) -> None:
    """Refuse opcodes that ask for far more memory than the pickle has bytes."""
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name.endswith("PUT") and isinstance(argument, int) and argument > len(data):
            raise pickle.UnpicklingError(f"memo entry {argument}")


def read_array(path: Path) -> np.ndarray:
    """The array in a pickle: one array, or a list or tuple of arrays of equal shapes.

    Raises:
        DataError: unreadable, hostile, or anything but plain arrays of numbers.
    """

    def refuse(reason: str) -> NoReturn:
        raise DataError(f"{path.name}: {' '.join(reason.split())}")

    try:
        data = path.read_bytes()
        _screen(data)
        value = _Unpickler(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:
        # A damaged pickle can raise nearly anything; it costs this one file.
        refuse(f"not a pickle that can be read ({error or type(error).__name__})")
    items = value if isinstance(value, (list, tuple)) else [value]
    arrays = [item.value for item in items if isinstance(item, _Array) and item.value is not None]
    if len(arrays) != len(items) or not arrays:
        refuse("holds something else than an array of numbers")
    if len({array.shape for array in arrays}) > 1:
        refuse("holds arrays of different shapes")
    return arrays[0] if value is items[0] else np.stack(arrays)


def read_silhouettes(path: Path) -> np.ndarray:
    """The silhouettes in an OpenGait pickle: uint8 [s, h, w].

    Raises:
        DataError: as :func:`read_array`, or an array that is not a stack of 8-bit frames.
    """
    array = read_array(path)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.ndim != 3 or array.dtype.kind not in "iu" or 0 in array.shape[1:]:
        raise DataError(
            f"{path.name}: {array.dtype} {list(array.shape)}, not silhouettes uint8 [s, h, w]"
        )
    if array.size and (array.min() < 0 or array.max() > 255):
        raise DataError(f"{path.name}: pixels outside 0..255")
    return array.astype(np.uint8)
