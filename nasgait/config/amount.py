"""Numbers as people write them: ``5G`` multiply-accumulates, ``3M`` parameters, ``50ms``."""

FACTORS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0}


def amount(text: str) -> float:
    """A positive number with an optional K, M, G or T: ``5G`` is 5e9.

    Raises ValueError for anything else.
    """
    factor = FACTORS.get(text[-1:].upper())
    try:
        value = float(text[:-1]) * factor if factor else float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{text!r} is no amount; allowed: like 5G, 300M, 2.5e6")
    return value


def with_suffix(value: object) -> object:
    """``40M`` in YAML, which is text there, as a number; anything else as it is."""
    if isinstance(value, str) and value[-1:].upper() in FACTORS:
        return amount(value)
    return value


def duration(text: str) -> float:
    """A positive time in seconds, with its unit: ``50ms`` is 0.05, ``0.2s``, ``900us``.

    Raises ValueError for anything else, a number without a unit included.
    """
    number = text.strip().rstrip("smu")
    unit = text.strip()[len(number) :]
    try:
        value = float(number) / UNITS[unit]
    except (ValueError, KeyError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"{text!r} is no time; allowed: like 50ms, 0.2s, 900us")
    return value


def in_seconds(value: object) -> object:
    """``50ms`` in YAML, which is text there, as seconds; anything else as it is."""
    return duration(value) if isinstance(value, str) else value
