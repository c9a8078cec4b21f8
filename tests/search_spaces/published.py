"""Our networks and names for the recorded SPOSGait networks."""

from dataclasses import replace

from search_spaces.space import SearchSpace, load_space

LAYERS = {
    "small": ["00", "20", "30", "40"],
    "medium": ["00", "01", "10", "11", "20", "30", "40"],
    "large": ["00", "01", "10", "11", "20", "21", "30", "31", "40", "41"],
}


def published_space(kind: str, model: dict) -> SearchSpace:
    """The space of a published model_cfg: the shipped one with its channels, bins and choices."""
    spec = load_space(f"sposgait-{kind}").spec
    channels = list(model["channels"])
    channels.append(channels[-1])  # the last two stages are equally wide
    counts = iter(model["choice_max_num"])
    stages = []
    for stage, width in zip(spec.stages, channels, strict=True):
        layers = tuple(
            replace(layer, channels=width, blocks=spec.blocks[: next(counts)])
            for layer in stage.layers
        )
        stages.append(replace(stage, layers=layers))
    head = replace(
        spec.head,
        bins=tuple(model["bin_num"]),
        channels=model["SeparateFCs"]["out_channels"],
    )
    return SearchSpace(replace(spec, stages=tuple(stages), head=head), spec.name)


def reference_name(kind: str, key: str) -> str:
    """The reference's name of one of our state-dict keys."""
    part, *rest = key.split(".")
    if part != "units":
        name = {"pooling": "HPP", "fcs": "Head0", "neck": "BNNecks"}[part]
        return ".".join([name, *["bn1d" if word == "norm" else word for word in rest]])
    layer = LAYERS[kind][int(rest[0])]
    if rest[1] == "aggregation":
        return "LTA.0.conv3d.weight"
    number = {"conv": 0, "norm": 1}
    if rest[1] == "shortcut":
        return f"downsample{layer[0]}.{number[rest[2]]}.{rest[3]}"
    _, _, choice, _, position, module, leaf = rest  # layer.options.choice.convs.position
    place = 3 * int(position) + number[module]
    inner = "conv3d.weight" if module == "conv" else leaf
    return f"conv3d_{layer}.{choice}.{place}.{inner}"
