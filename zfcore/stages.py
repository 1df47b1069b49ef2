"""The stages of a network: the layers where all that it knows of an image passes through one place, as features that are ready.

They are what the paper counts as layers 1 to 7, for any graph.
"""

from __future__ import annotations

from zfcore.graph import Graph
from zfcore.layers import Add, Clip, Concat, Conv2d, ConvTranspose2d, LeakyReLU, Linear, ReLU, Softmax

FILTERS = (Conv2d, ConvTranspose2d, Linear)
READY = (ReLU, LeakyReLU, Clip, Add, Concat)


def stages(net: Graph) -> tuple[str, ...]:
    """Names of a network's stages, from the image upwards.

    A stage is a rectifier, or a layer that joins branches, past which no branch goes; of several with no filters between them the last
    one. What the first output is made from without another filter is no stage: those are the answers.

    Examples
    --------
    >>> from zfcore.zoo import build
    >>> stages(build("zfnet-small"))
    ('relu1', 'relu2', 'relu3', 'relu4', 'relu5', 'relu6')
    """
    used = net.ancestors(net.outputs[:1])
    names = [name for name in net.layers if name in used]
    last_use = {name: max((names.index(n) for n in names if name in net.layers[n].inputs), default=len(names)) for name in names}
    found: dict[int, str] = {}
    filters = farthest = 0
    total = sum(isinstance(net.layers[name], FILTERS) for name in names)  # those above the last stage make the answers
    for place, name in enumerate(names):
        filters += isinstance(net.layers[name], FILTERS)
        alone = farthest <= place
        farthest = max(farthest, last_use[name])
        if alone and isinstance(net.layers[name], READY) and filters < total:
            found[filters] = name
    return tuple(found.values())


def deepest_map(net: Graph) -> str:
    """The last stage that has maps of more than a pixel: the paper's layer 5; without one, the last layer that has.

    Where images themselves are of one pixel it is the last layer that has that.

    Examples
    --------
    >>> from zfcore.zoo import build
    >>> deepest_map(build("zfnet-small"))
    'relu5'
    """
    with_maps = [name for name in (*net.layers, *stages(net)) if len(net.shapes[name]) == 3]
    with_pixels = [name for name in with_maps if net.shapes[name][1:] != (1, 1)]
    return (with_pixels or with_maps)[-1]


def answers(net: Graph) -> str | None:
    """The first output if it is one number for each of several classes, else None."""
    name = net.outputs[0]
    shape = net.shapes[name]
    layer = net.layers[name]
    wrong_axis = isinstance(layer, Softmax) and layer.axis != 1
    return name if shape[0] > 1 and all(n == 1 for n in shape[1:]) and not wrong_axis else None


def logits(net: Graph) -> str | None:
    """The layer whose softmax are the probabilities: the one below the first output, or that output itself if it is no softmax.

    None if the first output is not one number for each of several classes.
    """
    name = answers(net)
    if name is None:
        return None
    layer = net.layers[name]
    return layer.inputs[0] if isinstance(layer, Softmax) else name
