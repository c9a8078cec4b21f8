"""Small cost tables for the tests of the search."""

from itertools import product

from hypothesis import strategies as st

from nasgait.search.budget import Costs


@st.composite
def cost_tables(draw, metrics=2, max_layers=4, max_choices=4):
    """A cost table of up to 256 architectures."""
    vector = st.tuples(*[st.integers(0, 20)] * metrics)
    layer = st.lists(vector, min_size=1, max_size=max_choices).map(tuple)
    layers = draw(st.lists(layer, min_size=1, max_size=max_layers))
    return Costs(("macs", "params")[:metrics], draw(vector), tuple(layers))


def all_architectures(costs):
    """Every architecture of the table, in lexicographic order."""
    return list(product(*(range(count) for count in costs.choices)))


# Three free layers of three choices: 27 architectures, cost rises with the choice.
TOY = Costs(
    ("macs", "params"),
    (100, 10),
    (((5, 5),), *[((10, 3), (20, 2), (40, 1))] * 3),
)
