"""CASIA-B, and any other dataset that is arranged as ``<id>/<type>/<view>/*.png``."""

from nasgait.data.layouts.layout import Layout
from nasgait.data.partition import numbered
from nasgait.data.raw import list_image_tree
from nasgait.data.readers import read_and_normalise

LAYOUT = Layout(
    name="casia-b",
    folders="<id>/<type>/<view>/*.png",
    find=list_image_tree,
    read=read_and_normalise,
    partitions=(
        numbered("casia-b", range(1, 75), range(75, 125), digits=3),
        # Without subject 005, as HSTL.
        numbered("casia-b-73", {*range(1, 75)} - {5}, range(75, 125), digits=3),
    ),
)
