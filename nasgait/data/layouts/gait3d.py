"""Gait3D: ``<id>/<camera and video>/<seq>/*.png``, with the partition in a JSON of its own."""

from nasgait.data.layouts.layout import Layout
from nasgait.data.raw import list_image_tree
from nasgait.data.readers import read_and_normalise

LAYOUT = Layout(
    name="gait3d",
    folders="<id>/<camera and video>/<seq>/*.png",
    find=list_image_tree,
    read=read_and_normalise,
    partition_source="OpenGait's datasets/Gait3D/Gait3D.json",
)
