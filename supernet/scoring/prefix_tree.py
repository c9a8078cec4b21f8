"""Architectures that begin alike, as a tree of their choices."""

from collections.abc import Iterable

Prefix = tuple[int, ...]
"""The first choices of an architecture."""

Tree = dict[int, "Tree"]
"""From each choice to what may follow it; an architecture is a way from the root to a leaf."""


def grow(architectures: Iterable[Prefix]) -> Tree:
    """The tree of architectures of equal length; each prefix they share is there once."""
    root: Tree = {}
    for choices in sorted(architectures):
        node = root
        for choice in choices:
            node = node.setdefault(choice, {})
    return root
