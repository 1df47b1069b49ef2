"""The layers that networks are made of: each knows its way forward, its way down, and the window that it sees."""

from zfcore.layers.base import Crop, Input, Layer
from zfcore.layers.filters import Conv2d, ConvTranspose2d, Linear
from zfcore.layers.pointwise import (
    Affine,
    BatchNorm,
    Clip,
    Dropout,
    Identity,
    LeakyReLU,
    LocalResponseNorm,
    LogSoftmax,
    ReLU,
    Softmax,
)
from zfcore.layers.pooling import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from zfcore.layers.shaping import Add, Concat, Flatten, Pad, Reshape, Transpose

__all__ = [
    "Add",
    "Affine",
    "AvgPool2d",
    "BatchNorm",
    "Clip",
    "Concat",
    "Conv2d",
    "ConvTranspose2d",
    "Crop",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2d",
    "GlobalMaxPool2d",
    "Identity",
    "Input",
    "Layer",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MaxPool2d",
    "Pad",
    "ReLU",
    "Reshape",
    "Softmax",
    "Transpose",
]
