"""Large numbers as people write them: ``5G`` multiply-accumulates, ``3M`` parameters."""

FACTORS = {"K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


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
