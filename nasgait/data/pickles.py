"""Reading the pickled arrays of OpenGait without trusting them.

A pickle is a program.  Here it may name only the few functions that NumPy's own pickles call, and
even these are not run: stand-ins check their arguments and build the array from its raw bytes.
Anything else that a pickle names (``os.system``, a class, another function of NumPy) is refused.
"""

import io
import math
import os
import pickle
import pickletools
import re
from functools import partial
from typing import Any, NoReturn

import numpy as np

from nasgait.core.errors import DataError
from nasgait.data.entries import excerpt, read_bounded, shown
from nasgait.data.masks import eight_bits

ADMITTED_DTYPE = re.compile(r"(b1|[iu][1248]|f[248])")
MAX_BYTES = 2**27
"""A pickle or an array that is larger is not read: 32,768 frames of 64 x 64."""
MAX_OPCODES = 2**21
"""A pickle with more is not read; a list of frames has about 20 for each."""
MAX_LENGTH, MAX_DIMENSIONS = 2**31, 8
"""Of an array."""
PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
REFUSED = {
    *("EMPTY_DICT", "DICT", "SETITEM", "SETITEMS"),
    *("EMPTY_SET", "ADDITEMS", "FROZENSET"),
    *("INST", "OBJ", "NEWOBJ", "NEWOBJ_EX"),
}
"""Opcodes that no array needs: dictionaries and sets hash what is nested in them, for ever if it is
nested well; the others make objects."""


class _Budget:
    """Bytes that one pickle may still copy: it can ask for the same copy many times."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_BYTES

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise pickle.UnpicklingError(f"it makes more than {MAX_BYTES} bytes")


class _Dtype:
    """Stands in for ``numpy.dtype``: a plain boolean, integer or floating type."""

    __slots__ = ("budget", "spec")

    def __init__(self, budget: "_Budget", spec: str, align: Any = False, copy: Any = False) -> None:
        self.budget = budget
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
            data = _encode(self.budget, data, "latin1")
        elif isinstance(data, pickle.PickleBuffer):
            data = data.raw()
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise pickle.UnpicklingError("an array without its raw bytes")
        lengths_fit = all(isinstance(n, int) and 0 <= n <= MAX_LENGTH for n in shape)
        if len(shape) > MAX_DIMENSIONS or not lengths_fit:
            raise pickle.UnpicklingError("an array of impossible shape")
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


def _encode(budget: _Budget, text: str, encoding: str) -> bytes:
    """``_codecs.encode`` as protocols 0 to 2 use it for bytes."""
    budget.take(len(text))
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes encoded as {encoding!r}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Finds the stand-ins alone."""

    STAND_INS: dict[tuple[str, str], Any] = {  # noqa: RUF012 (never changed)
        ("numpy", "dtype"): _Dtype,
        ("numpy", "ndarray"): None,
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy._core.multiarray", "_reconstruct"): _Array,
        ("numpy.core.numeric", "_frombuffer"): _from_buffer,
        ("numpy._core.numeric", "_frombuffer"): _from_buffer,
        ("_codecs", "encode"): _encode,
    }

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._budget = _Budget()

    def find_class(self, module: str, name: str) -> Any:
        try:
            stand_in = self.STAND_INS[module, name]
            return partial(stand_in, self._budget) if stand_in in (_Dtype, _encode) else stand_in
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}; only arrays of numbers are read from a pickle"
            ) from None


def _screen(data: bytes) -> None:
    """Refuse opcodes that ask for far more memory or time than the pickle has bytes."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in PUTS and (argument or 0) > len(data):
            raise pickle.UnpicklingError(f"memo entry {argument}")
        if opcode.name in REFUSED:
            raise pickle.UnpicklingError(
                f"it has the opcode {opcode.name}; only arrays of numbers are read from a pickle"
            )
        if count > MAX_OPCODES:
            raise pickle.UnpicklingError(f"it has more than {MAX_OPCODES} opcodes")


def read_array(path: str | os.PathLike[str]) -> np.ndarray:
    """The array in a pickle: one array, or a list or tuple of arrays of equal shapes.

    Neither the file nor what it makes may have more than :data:`MAX_BYTES` bytes.

    Raises:
        DataError: unreadable, hostile, or anything but plain arrays of numbers.
    """

    def refuse(reason: str) -> NoReturn:
        raise DataError(f"{_name(path)}: {excerpt(reason)}")

    try:
        data = read_bounded(os.fspath(path), MAX_BYTES)
    except DataError as error:
        refuse(str(error))
    try:
        _screen(data)
        value = _Unpickler(data).load()
    except Exception as error:
        # A damaged pickle can raise nearly anything; it costs this one file.
        refuse(f"not a pickle that can be read ({error or type(error).__name__})")
    items = value if isinstance(value, (list, tuple)) else [value]
    arrays = [item.value for item in items if isinstance(item, _Array) and item.value is not None]
    if len(arrays) != len(items) or not arrays:
        refuse("holds something else than an array of numbers")
    if len({array.shape for array in arrays}) > 1:
        refuse("holds arrays of different shapes")
    if (size := sum(array.nbytes for array in arrays)) > MAX_BYTES:
        refuse(f"its arrays have {size} bytes together; at most {MAX_BYTES} are read")
    return arrays[0] if value is items[0] else np.stack(arrays)


def read_silhouettes(path: str | os.PathLike[str]) -> tuple[np.ndarray, list[str]]:
    """The frames in an OpenGait pickle, uint8 [s, h, w], and what was decided about them.

    Raises:
        DataError: as :func:`read_array`, or an array that is not a stack of frames.
    """
    array = read_array(path)
    if array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):  # a single channel
        array = array.squeeze(1 if array.shape[1] == 1 else 3)
    if array.ndim != 3 or 0 in array.shape[1:]:
        raise DataError(
            f"{_name(path)}: {array.dtype} {list(array.shape)}, not silhouettes uint8 [s, h, w]"
        )
    try:
        return eight_bits(array)
    except DataError as error:
        raise DataError(f"{_name(path)}: {error}") from None


def _name(path: str | os.PathLike[str]) -> str:
    return shown(os.path.basename(path))
