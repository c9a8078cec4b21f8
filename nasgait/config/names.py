"""Names that become folders, and that logs, tables and pages print."""

import reprlib

LONGEST = 100
"""Bytes of a name in UTF-8; file systems take about 250."""


def folder_name(text: str) -> str:
    """The name itself, if it can be that of a folder and stands on one line.

    Raises ValueError that says what is allowed: no separator leads elsewhere, no character moves
    the cursor, and no spreadsheet takes the name for a formula.
    """
    first = text[:1]
    good = (
        (first.isalnum() or first == "_")
        and text.isprintable()
        and not any(sign in text for sign in "/\\")
        and text == text.strip()
        and len(text.encode(errors="replace")) <= LONGEST
    )
    if not good:
        raise ValueError(
            f"must name a folder, not be {reprlib.repr(text)}: allowed are letters, digits, spaces "
            f"and signs but / and \\, the first a letter, a digit or _, {LONGEST} bytes at most"
        )
    return text


def folder_names(text: str) -> str:
    """The same for one that may hold folders in folders, ``group/mine``."""
    for part in text.split("/"):
        folder_name(part)
    return text
