"""Shape arithmetic of sliding windows: output sizes, the input a window sees, and the errors of impossible sizes.

Every convolution and pooling is two independent one-dimensional problems, one per image axis. `Axis` is that problem; nothing
else in the two packages computes an output size, a padding or a receptive window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

Ends = TypeVar("Ends", int, np.ndarray)
Pair = tuple[int, int]
Padding = tuple[Pair, Pair]


class GeometryError(ValueError):
    """Sizes that admit no output."""


class Axis(NamedTuple):
    """A window of `kernel` taps, `dilation` apart, that moves by `stride` over `size` pixels padded by `before` and `after`."""

    size: int
    kernel: int
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1

    @property
    def extent(self) -> int:
        """Pixels from the first tap to the last, both counted."""
        return (self.kernel - 1) * self.dilation + 1

    def outputs(self, ceil_mode: bool = False) -> int:
        """Number of positions of the window.

        ``floor((size + before + after - extent) / stride) + 1``. With `ceil_mode` the division rounds up, so that a last, partial
        window is kept, unless that window would start beyond the last pixel (PyTorch's rule, and Caffe's).
        """
        room = self.size + self.before + self.after - self.extent
        if room < 0:
            return 0
        count = room // self.stride + 1
        if ceil_mode and room % self.stride and count * self.stride < self.size + self.before:
            count += 1
        return count

    def covers_a_pixel(self, outputs: int) -> bool:
        """Whether each of the `outputs` windows holds at least one pixel that is not padding."""
        for o in range(outputs):
            first = o * self.stride - self.before
            tap = max(0, -(first // self.dilation))
            if tap >= self.kernel or first + tap * self.dilation >= self.size:
                return False
        return True

    def inputs(self, first: int, last: int) -> Pair:
        """Half-open range of input pixels that the outputs ``first <= o < last`` see; it may reach into the padding."""
        start = first * self.stride - self.before
        if last <= first:
            return start, start
        return start, start + (last - first - 1) * self.stride + self.extent

    def spanning(self, first: Ends, last: Ends) -> tuple[Ends, Ends]:
        """Half-open range of the outputs whose windows span one of the pixels ``first <= i < last``; unclipped. Arrays will do, too.

        Examples
        --------
        >>> Axis(224, 7, stride=2, before=1, after=1).spanning(7, 34)
        (1, 18)
        """
        return -(-(first + self.before - self.extent + 1) // self.stride), (last - 1 + self.before) // self.stride + 1

    def reached(self, first: int, last: int) -> Pair:
        """Half-open range from the first to the last output that has a tap on one of the pixels ``first <= i < last``; unclipped.

        The range that a transposed convolution needs: its outputs are this axis' inputs. It is empty where strides or dilation
        skip all of the pixels.
        """
        taps = [i + self.before - k * self.dilation for i in range(first, last) for k in range(self.kernel)]
        outputs = [place // self.stride for place in taps if place % self.stride == 0]
        return (min(outputs), max(outputs) + 1) if outputs else (first, first)


def axes(
    input_size: Sequence[int], kernel_size: Pair, stride: Pair = (1, 1), padding: Padding = ((0, 0), (0, 0)), dilation: Pair = (1, 1)
) -> tuple[Axis, Axis]:
    """The vertical and the horizontal `Axis` of a window operation on an image of `input_size` (H, W)."""
    return (
        Axis(input_size[0], kernel_size[0], stride[0], padding[0][0], padding[0][1], dilation[0]),
        Axis(input_size[1], kernel_size[1], stride[1], padding[1][0], padding[1][1], dilation[1]),
    )


def output_size(
    input_size: Sequence[int],
    kernel_size: Pair,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    ceil_mode: bool = False,
) -> Pair:
    """(OH, OW) of a window operation.

    Raises
    ------
    GeometryError
        If the window is larger than the padded image, so that there is no output.

    Examples
    --------
    conv1 and pool1 of ZFNet (paper, figure 3):

    >>> output_size((224, 224), (7, 7), (2, 2), ((1, 1), (1, 1)))
    (110, 110)
    >>> output_size((110, 110), (3, 3), (2, 2), ceil_mode=True)
    (55, 55)
    """
    vertical, horizontal = axes(input_size, kernel_size, stride, padding, dilation)
    size = vertical.outputs(ceil_mode), horizontal.outputs(ceil_mode)
    for name, axis, count in (("height", vertical, size[0]), ("width", horizontal, size[1])):
        if count < 1:
            raise GeometryError(
                f"empty output: the window spans {axis.extent} pixels of {name}, the padded input has "
                f"{axis.size + axis.before + axis.after} ({axis.size} + {axis.before} + {axis.after}); "
                f"needed: a smaller kernel_size or dilation, a larger input, or more padding"
            )
    return size


def pool_output_size(
    input_size: Sequence[int], kernel_size: Pair, stride: Pair, padding: Padding, dilation: Pair, ceil_mode: bool
) -> Pair:
    """`output_size` of a pooling, in which every window must hold at least one pixel that is not padding.

    Raises
    ------
    GeometryError
        If there is no output, or a window of padding alone.
    """
    size = output_size(input_size, kernel_size, stride, padding, dilation, ceil_mode)
    for name, axis, count in zip(("height", "width"), axes(input_size, kernel_size, stride, padding, dilation), size, strict=True):
        if not axis.covers_a_pixel(count):
            raise GeometryError(
                f"a pooling window lies wholly in the padding of the {name}: padding ({axis.before}, {axis.after}) for a window "
                f"of {axis.kernel} taps, dilation {axis.dilation}; needed: every window holds at least one pixel"
            )
    return size


def transposed_output_size(
    input_size: Sequence[int], kernel_size: Pair, stride: Pair, padding: Padding, output_padding: Pair, dilation: Pair
) -> Pair:
    """(OH, OW) of a transposed convolution: the input size of the convolution whose adjoint it is.

    Raises
    ------
    GeometryError
        If the output would be empty.
    """
    vertical, horizontal = axes(input_size, kernel_size, stride, padding, dilation)
    sizes = []
    for name, axis, extra in (("height", vertical, output_padding[0]), ("width", horizontal, output_padding[1])):
        size = (axis.size - 1) * axis.stride - axis.before - axis.after + axis.extent + extra
        if size < 1:
            raise GeometryError(
                f"empty output: a transposed convolution of {axis.size} pixels of {name} has {size}; needed: less padding"
            )
        sizes.append(size)
    return sizes[0], sizes[1]


def same_padding(axis: Axis, upper: bool = True) -> Pair:
    """(before, after) that makes the output ``ceil(size / stride)``; an odd pixel goes after if `upper`, else before."""
    outputs = -(-axis.size // axis.stride)
    total = max(0, (outputs - 1) * axis.stride + axis.extent - axis.size)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)
