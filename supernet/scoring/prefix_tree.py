"""Architectures that share prefixes, as a tree of their choices."""

from collections.abc import Iterable

Prefix = tuple[int, ...]
"""The first choices of an architecture, or all of them."""

PrefixTree = dict[int, "PrefixTree"]
"""From each choice to those that may follow it; each path from the root to a leaf is an
architecture."""


def prefix_tree(architectures: Iterable[Prefix]) -> PrefixTree:
    """The tree of architectures of equal length; each shared prefix appears in it once."""
    root: PrefixTree = {}
    for choices in sorted(architectures):
        node = root
        for choice in choices:
            node = node.setdefault(choice, {})
    return root
