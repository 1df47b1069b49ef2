"""ONNX import: every operator against another reading of the same file, the listing of what is unsupported, hostile files."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, numpy_helper
from onnx.helper import (
    find_min_ir_version_for,
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor,
    make_tensor_value_info,
)
from onnx.reference import ReferenceEvaluator
from PIL import Image

from zfcore.errors import ZfcoreError
from zfcore.formats.onnx_fold import FOLDS
from zfcore.formats.onnx_import import load_onnx
from zfcore.formats.onnx_layers import OPERATORS
from zfcore.formats.onnx_read import OnnxError
from zfcore.layers import BatchNorm, Conv2d, ConvTranspose2d, Flatten, Linear
from zfcore.network import Network
from zfcore.testing import ROUNDINGS, parity_test, rounding_bound

LATEST = onnx.defs.onnx_opset_version()
ONNXRUNTIME_KNOWS = 21
SHAPE = (2, 6, 5)
Arrays = Mapping[str, np.ndarray]


def whole_numbers(*shape: int, seed: int = 0) -> np.ndarray:
    """Small integers in float32: sums of their products are exact, so that two right answers are equal."""
    return np.random.default_rng(seed + sum(shape)).integers(-4, 5, shape).astype(np.float32)


def model_of(
    nodes: Sequence[NodeProto],
    stored: Arrays | None = None,
    shape: Sequence[int | str | None] = ("N", *SHAPE),
    opset: int = 13,
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    graph = make_graph(
        list(nodes),
        "graph",
        [make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
        [numpy_helper.from_array(a, name) for name, a in (stored or {}).items()],
    )
    opsets = [make_opsetid("", opset)]
    return make_model(graph, opset_imports=opsets, ir_version=find_min_ir_version_for(opsets))


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., Network]:
    """Writes a model, or bytes, and reads it with load_onnx."""

    def load(model: onnx.ModelProto | bytes, input_size: tuple[int, int] | None = None) -> Network:
        path = tmp_path / "model.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        net = load_onnx(path, input_size)
        net.backend = "reference"
        return net

    return load


# ---- operators


@dataclass(frozen=True)
class Case:
    """Nodes from x to y; `roundings` of the largest element may lie between two right answers to integers, 0: equal."""

    name: str
    nodes: list[NodeProto]
    stored: Arrays = field(default_factory=dict)
    opset: int = 13
    shape: tuple[int, ...] = SHAPE
    roundings: int = 0
    not_by: str = ""  # a peer that cannot do it, and why


def one(name: str, op: str, *constants: np.ndarray, x: Sequence[str] = ("x",), **options: object) -> Case:
    """A case of a single node; keywords of Case apart, `options` are the node's attributes."""
    facts = {k: options.pop(k) for k in ("opset", "shape", "roundings", "not_by") if k in options}
    stored = {f"c{i}": c for i, c in enumerate(constants)}
    return Case(name, [make_node(op, [*x, *stored], ["y"], **options)], stored, **facts)  # type: ignore[arg-type]


def scalar(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def longs(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


W, B = whole_numbers(4, 2, 3, 2), whole_numbers(4)
GROUPED, TRANSPOSED = whole_numbers(6, 1, 3, 2), whole_numbers(2, 3, 3, 2)
PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
NORM = [whole_numbers(2), whole_numbers(2, seed=1), whole_numbers(2, seed=2), np.array([4, 16], np.float32)]
LRN_FACTS = {
    "shape": (7, 3, 2),
    "roundings": ROUNDINGS["local_response_norm"],
    "not_by": "reference: takes the batch for the channels",
}

CASES = [
    one("conv", "Conv", W, B, pads=[1, 0, 2, 1], strides=[2, 1]),
    one("conv-no-bias-opset7", "Conv", W, opset=7),
    one("conv-groups-dilation", "Conv", GROUPED, group=2, dilations=[2, 3], kernel_shape=[3, 2], opset=LATEST),
    *(one(f"conv-{p}", "Conv", W, B, auto_pad=p, strides=[2, 3], dilations=[1, 1]) for p in PADS),
    *(one(f"conv-dilated-{p}", "Conv", W, auto_pad=p, dilations=[2, 1], not_by="onnxruntime: refuses it" * ("SAME" in p)) for p in PADS),
    one(
        "conv-transpose",
        "ConvTranspose",
        TRANSPOSED,
        whole_numbers(3),
        strides=[3, 2],
        pads=[1, 0, 0, 1],
        output_padding=[2, 1],
    ),
    one("conv-transpose-groups", "ConvTranspose", TRANSPOSED, group=2, dilations=[2, 1], not_by="reference: fails"),
    one("conv-transpose-VALID", "ConvTranspose", TRANSPOSED, auto_pad="VALID", strides=[2, 2]),
    one("conv-transpose-SAME_UPPER", "ConvTranspose", TRANSPOSED, auto_pad="SAME_UPPER", strides=[2, 1]),
    one("conv-transpose-SAME_LOWER", "ConvTranspose", TRANSPOSED, auto_pad="SAME_LOWER", strides=[2, 1]),
    one("conv-transpose-output-shape", "ConvTranspose", TRANSPOSED, output_shape=[12, 9], strides=[2, 2], not_by="reference: fails"),
    one("relu", "Relu"),
    one("leaky-relu", "LeakyRelu", alpha=0.25),
    one("clip-attributes", "Clip", min=-2.0, max=3.0, opset=7),
    one("clip-inputs", "Clip", scalar(-2), scalar(3)),
    one("clip-open-below", "Clip", scalar(3), x=("x", "")),
    one("clip-open", "Clip"),
    one("max-pool", "MaxPool", kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1], opset=7),
    one("max-pool-ceil", "MaxPool", kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1),
    one("max-pool-dilated", "MaxPool", kernel_shape=[2, 2], dilations=[3, 2], opset=LATEST),
    *(one(f"max-pool-{p}", "MaxPool", kernel_shape=[3, 2], strides=[2, 3], auto_pad=p) for p in PADS[:3]),
    one(
        "max-pool-SAME_LOWER",
        "MaxPool",
        kernel_shape=[3, 2],
        strides=[2, 3],
        auto_pad="SAME_LOWER",
        not_by="reference: loses the last column",
    ),
    one(
        "max-pool-VALID-ceil",
        "MaxPool",
        kernel_shape=[3, 3],
        strides=[2, 2],
        auto_pad="VALID",
        ceil_mode=1,
        not_by="onnxruntime: rounds up with auto_pad VALID, against the operator's definition",
    ),
    one("average-pool", "AveragePool", kernel_shape=[3, 2], pads=[1, 1, 1, 0], roundings=4, opset=7),
    one("average-pool-count-pad", "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1, roundings=4),
    one("average-pool-ceil", "AveragePool", kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1, roundings=4, opset=19),
    *(one(f"average-pool-{p}", "AveragePool", kernel_shape=[3, 2], strides=[2, 3], auto_pad=p, roundings=4) for p in PADS),
    one("global-average-pool", "GlobalAveragePool", roundings=32),
    one("global-max-pool", "GlobalMaxPool"),
    one("lrn", "LRN", size=3, alpha=0.3, beta=0.6, bias=2.0, **LRN_FACTS),
    one("lrn-defaults", "LRN", size=5, **LRN_FACTS),
    one("batch-norm", "BatchNormalization", *NORM, epsilon=0.0, opset=9, not_by="reference: takes it for training"),
    one("batch-norm-opset7", "BatchNormalization", *NORM, epsilon=0.0, opset=7, not_by="reference: fails"),
    one("batch-norm-opset15", "BatchNormalization", *NORM, epsilon=0.0, opset=15),
    *(one(f"{op.lower()}-scalar", op, scalar(2)) for op in ("Add", "Sub", "Mul", "Div")),
    *(one(f"{op.lower()}-channels", op, whole_numbers(2, 1, 1)) for op in ("Add", "Sub", "Mul")),
    *(one(f"{op.lower()}-image", op, whole_numbers(1, *SHAPE), opset=7) for op in ("Add", "Sub", "Mul")),
    one("mul-columns", "Mul", whole_numbers(5)),
    *(Case(f"constant-first-{op}", [make_node(op, ["c", "x"], ["y"])], {"c": whole_numbers(1, 2, 1, 1)}) for op in ("Add", "Sub", "Mul")),
    one("add-itself", "Add", x=("x", "x")),
    Case("sum", [make_node("Relu", ["x"], ["a"]), make_node("Sum", ["a", "x", "a"], ["y"])]),
    one("sum-of-one", "Sum"),
    one("sum-with-constant", "Sum", whole_numbers(2, 1, 1), opset=8),
    one("concat", "Concat", x=("x", "x"), axis=1),
    one("concat-negative", "Concat", x=("x", "x", "x"), axis=-3),
    one("flatten", "Flatten"),
    one("flatten-negative", "Flatten", axis=-3),
    one("reshape", "Reshape", longs(0, 3, -1)),
    one("reshape-minus-one", "Reshape", longs(-1, 60)),
    one("reshape-copies", "Reshape", longs(0, 0, -1), opset=LATEST),
    one("transpose", "Transpose", perm=[0, 2, 3, 1]),
    one("squeeze-attribute", "Squeeze", axes=[1, -1], shape=(1, 4, 1), opset=11),
    one("squeeze-input", "Squeeze", longs(3), shape=(3, 4, 1)),
    one("squeeze-all", "Squeeze", shape=(3, 1, 1)),
    one("unsqueeze-attribute", "Unsqueeze", axes=[1, -1], opset=11),
    one("unsqueeze-input", "Unsqueeze", longs(2)),
    one("dropout-opset7", "Dropout", ratio=0.3, opset=7),
    one("dropout", "Dropout", scalar(0.3)),
    one("identity", "Identity"),
    one("cast", "Cast", to=TensorProto.FLOAT),
    one("pad-attribute", "Pad", pads=[0, 1, 2, 0, 0, 0, 1, 3], value=7.0, opset=7),
    one("pad-input", "Pad", longs(0, 0, 1, 2, 0, 1, 0, 3)),
    one("pad-value", "Pad", longs(0, 0, 1, 2, 0, 1, 0, 3), scalar(-1), opset=11),
    one("pad-axes", "Pad", longs(1, 2, 0, 3), scalar(-1), longs(-1, 2), opset=18),
    Case(
        "gemm",
        [make_node("Flatten", ["x"], ["f"]), make_node("Gemm", ["f", "w", "b"], ["y"], alpha=0.5, beta=2.0, transB=1)],
        {"w": whole_numbers(7, 60), "b": whole_numbers(7)},
    ),
    Case(
        "gemm-plain",
        [make_node("Flatten", ["x"], ["f"]), make_node("Gemm", ["f", "w", "b"], ["y"])],
        {"w": whole_numbers(60, 7), "b": whole_numbers(1, 7)},
        opset=7,
    ),
    Case(
        "gemm-without-bias",
        [make_node("Flatten", ["x"], ["f"]), make_node("Gemm", ["f", "w"], ["y"])],
        {"w": whole_numbers(60, 7)},
    ),
    Case(
        "matmul-and-features",
        [
            make_node("Flatten", ["x"], ["f"]),
            make_node("MatMul", ["f", "w"], ["m"]),
            make_node("Add", ["b", "m"], ["n"]),
            make_node("BatchNormalization", ["n", *"stuv"], ["y"], epsilon=0.0),
        ],
        {"w": whole_numbers(60, 2), "b": whole_numbers(1, 2), **dict(zip("stuv", NORM, strict=True))},
        opset=15,
    ),
    *(
        one(f"{op.lower()}-{axis}", op, axis=axis, roundings=ROUNDINGS["softmax"])
        for op in ("Softmax", "LogSoftmax")
        for axis in (1, 2, -1)
    ),
    one("softmax-default", "Softmax", roundings=ROUNDINGS["softmax"]),
    Case(
        "softmax-opset7",
        [make_node("GlobalMaxPool", ["x"], ["g"]), make_node("Softmax", ["g"], ["y"])],
        opset=7,
        roundings=ROUNDINGS["softmax"],
        not_by="reference: takes the last axis, as later opsets do",
    ),
]


def by_reference(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    return list(ReferenceEvaluator(model).run(None, {model.graph.input[0].name: x}))


def by_onnxruntime(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime, the second peer, is not installed")
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: x}))


PEERS = {"reference": by_reference, "onnxruntime": by_onnxruntime}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("peer", PEERS)
def test_an_operator_agrees_with_its_peers(case: Case, peer: str, imported: Callable[..., Network]) -> None:
    if case.not_by.startswith(peer):
        pytest.skip(f"onnx.{case.not_by}" if peer == "reference" else case.not_by)
    if peer == "onnxruntime" and case.opset > ONNXRUNTIME_KNOWS:
        pytest.skip(f"onnxruntime: may not know opset {case.opset}")
    model = model_of(case.nodes, case.stored, ("N", *case.shape), case.opset)
    x = whole_numbers(2, *case.shape, seed=5)
    (ref,) = PEERS[peer](model, x)
    bound = rounding_bound(case.roundings, np.abs(ref).max(), np.float32) if case.roundings else 0.0
    parity_test(imported(model)(x), ref, 2 * bound, case.name)


# ---- weights, constants, shapes computed in the graph


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_weights_of_every_float_type_become_float32(dtype: type, raw: bool, imported: Callable[..., Network]) -> None:
    model = model_of([make_node("Conv", ["x", "w", "b"], ["y"])], {})
    for name, array in (("w", W), ("b", B)):
        stored = array.astype(dtype)
        values = stored.tobytes() if raw else stored
        data_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        model.graph.initializer.append(make_tensor(name, data_type, stored.shape, values, raw=raw))
    net = imported(model)
    conv = net.layers["conv1"]
    assert conv.weight.dtype == conv.bias.dtype == np.float32 and conv.weight.flags.writeable
    parity_test(conv.weight, W)
    parity_test(conv.bias, B)


def test_weights_may_be_constants_and_old_inputs(imported: Callable[..., Network]) -> None:
    nodes = [
        make_node("Constant", [], ["w"], value=numpy_helper.from_array(W)),
        make_node("Conv", ["x", "w", "b"], ["y"]),
    ]
    model = model_of(nodes, {"b": B}, opset=7)
    model.graph.input.append(make_tensor_value_info("b", TensorProto.FLOAT, B.shape))
    x = whole_numbers(2, *SHAPE)
    parity_test(imported(model)(x), by_reference(model, x)[0])


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"value_float": 2.0}, [2]),
        ({"value_floats": [1.0, 2.0, 3.0, 4.0, 5.0]}, [1, 2, 3, 4, 5]),
        ({"value": numpy_helper.from_array(np.array([3], np.float16))}, [3]),
    ],
)
def test_every_form_of_constant(options: dict, value: list, imported: Callable[..., Network]) -> None:
    model = model_of([make_node("Constant", [], ["c"], **options), make_node("Mul", ["x", "c"], ["y"])])
    x = whole_numbers(1, *SHAPE)
    parity_test(imported(model)(x), x * np.array(value, np.float32))


def integers_node(name: str, *values: int) -> NodeProto:
    return make_node("Constant", [], [name], value_ints=list(values))


FLATTENED_BY_SHAPE = [  # x.view(x.size(0), -1), as PyTorch exports it
    make_node("Shape", ["x"], ["dims"]),
    make_node("Constant", [], ["zero"], value_int=0),
    make_node("Gather", ["dims", "zero"], ["n"], axis=0),
    integers_node("axis", 0),
    make_node("Unsqueeze", ["n", "axis"], ["n1"]),
    integers_node("rest", -1),
    make_node("Concat", ["n1", "rest"], ["target"], axis=0),
    make_node("Reshape", ["x", "target"], ["y"]),
]
PADDED_BY_SHAPE = [  # F.pad, as PyTorch exports it: the pads are reversed and transposed in the graph
    integers_node("last", 1, 2, 3, 1),
    integers_node("missing", 4),
    make_node("ConstantOfShape", ["missing"], ["nothing"], value=numpy_helper.from_array(longs(0))),
    make_node("Concat", ["last", "nothing"], ["all"], axis=0),
    integers_node("pairs", -1, 2),
    make_node("Reshape", ["all", "pairs"], ["table"]),
    *(integers_node(name, value) for name, value in (("from", -1), ("to", -(2**63)), ("first", 0))),
    make_node("Slice", ["table", "from", "to", "first", "from"], ["reversed"]),
    make_node("Transpose", ["reversed"], ["turned"], perm=[1, 0]),
    integers_node("flat", -1),
    make_node("Reshape", ["turned", "flat"], ["list"]),
    make_node("Cast", ["list"], ["pads"], to=TensorProto.INT64),
    make_node("Pad", ["x", "pads"], ["y"]),
]
COUNTED = [  # sizes computed with floats and back; what ConstantOfShape, Equal, Where and Expand are for
    make_node("Shape", ["x"], ["s"], start=1, end=4),
    make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
    make_node("Constant", [], ["half"], value_float=2.0),
    make_node("Div", ["f", "half"], ["g"]),
    make_node("Floor", ["g"], ["h"]),
    make_node("Cast", ["h"], ["i"], to=TensorProto.INT64),
    integers_node("one", 1),
    make_node("Mul", ["i", "one"], ["j"]),
    make_node("Constant", [], ["three"], value_int=3),
    make_node("Constant", [], ["start"], value_int=0),
    make_node("Constant", [], ["step"], value_int=1),
    make_node("Range", ["start", "three", "step"], ["r"]),
    make_node("Equal", ["r", "one"], ["middle"]),
    make_node("Expand", ["one", "one"], ["ones"]),
    make_node("Where", ["middle", "ones", "j"], ["k"]),
    make_node("Cast", ["k"], ["shape"], to=TensorProto.FLOAT),
    integers_node("axes", 0, 2),
    make_node("Unsqueeze", ["shape", "axes"], ["column"]),
    integers_node("square", 1, 1, -1),
    make_node("Reshape", ["column", "square"], ["row"]),
    make_node("ReduceNothing", ["row"], ["unused"]),
    integers_node("middle_only", 1),
    make_node("Gather", ["shape", "middle_only"], ["scale"]),
    make_node("Mul", ["x", "scale"], ["y"]),
]


@pytest.mark.parametrize("nodes", [FLATTENED_BY_SHAPE, PADDED_BY_SHAPE], ids=["flatten", "pad"])
@pytest.mark.parametrize("batch", ["N", 1, 3])
def test_shapes_computed_in_the_graph_are_folded(nodes: list[NodeProto], batch: str | int, imported: Callable[..., Network]) -> None:
    model = model_of(nodes, shape=(batch, *SHAPE))
    net = imported(model)
    assert len(net.layers) == 2
    x = whole_numbers(batch if isinstance(batch, int) else 5, *SHAPE)
    parity_test(net(x), by_reference(model, x)[0])
    assert net(whole_numbers(4, *SHAPE)).shape[0] == 4  # the batch stays open


def test_arithmetic_on_constants_is_folded_and_what_nothing_needs_is_dropped(imported: Callable[..., Network]) -> None:
    net = imported(model_of(COUNTED, opset=15))  # ReduceNothing exists nowhere
    assert list(net.layers) == ["x", "mul1"]
    assert np.all(net.layers["mul1"].scale == 1)  # 6 // 2 with the middle set to 1
    without = [n for n in COUNTED if n.op_type != "ReduceNothing"]
    x = whole_numbers(2, *SHAPE)
    parity_test(net(x), by_reference(model_of(without, opset=15), x)[0])


def test_constant_of_shape_fills_with_its_value(imported: Callable[..., Network]) -> None:
    nodes = [
        integers_node("shape", 1, 5),
        make_node("ConstantOfShape", ["shape"], ["c"], value=numpy_helper.from_array(np.float32([7]))),
        make_node("Mul", ["x", "c"], ["y"]),
    ]
    parity_test(imported(model_of(nodes)).layers["mul1"].scale, np.full((1, 5), 7, np.float32))


@pytest.mark.parametrize(("a", "b"), [(7, 2), (-7, 2), (7, -2), (-8, 3)])
def test_integers_are_divided_towards_zero(a: int, b: int, imported: Callable[..., Network]) -> None:
    nodes = [
        integers_node("a", a),
        integers_node("b", b),
        make_node("Div", ["a", "b"], ["q"]),
        make_node("Cast", ["q"], ["f"], to=TensorProto.FLOAT),
        make_node("Mul", ["x", "f"], ["y"]),
    ]
    assert imported(model_of(nodes)).layers["mul1"].scale == int(a / b)


def test_a_weight_is_reshaped_at_import(imported: Callable[..., Network]) -> None:
    nodes = [
        make_node("Reshape", ["w", "to"], ["w2"], name="weight"),
        make_node("Reshape", ["x", "flat"], ["f"]),
        make_node("MatMul", ["f", "w2"], ["y"]),
    ]
    model = model_of(nodes, {"w": whole_numbers(*SHAPE, 3), "to": longs(60, 3), "flat": longs(1, 60)}, (1, *SHAPE))
    net = imported(model)
    assert [type(layer) for layer in net.layers.values()][1:] == [Flatten, Linear]
    x = whole_numbers(1, *SHAPE)
    parity_test(net(x), by_reference(model, x)[0])


BATCH_NORM = make_node("BatchNormalization", ["a", *"stuv"], ["y"], epsilon=0.0, name="norm")
FOUR_NORM = {  # scale, bias, mean, variance; everything exact
    "s": np.float32([2, -1, 3, 4]),
    "t": np.float32([1, -2, 0, 3]),
    "u": np.float32([3, -2, 1, -4]),
    "v": np.float32([4, 16, 1, 4]),
}


@pytest.mark.parametrize(
    ("nodes", "stored", "kind"),
    [
        ([make_node("Conv", ["x", "w", "b"], ["a"], group=2, name="below")], {"w": W[:, :1], "b": B}, Conv2d),
        ([make_node("Conv", ["x", "w"], ["a"], name="below")], {"w": W}, Conv2d),
        (
            [make_node("ConvTranspose", ["x", "w", "b"], ["a"], name="below")],
            {"w": whole_numbers(2, 4, 2, 2), "b": B},
            ConvTranspose2d,
        ),
        (
            [make_node("Flatten", ["x"], ["f"]), make_node("Gemm", ["f", "w", "b"], ["a"], name="below")],
            {"w": whole_numbers(60, 4), "b": B},
            Linear,
        ),
    ],
    ids=["conv", "conv-no-bias", "conv-transpose", "gemm"],
)
def test_batch_norm_is_folded(nodes: list, stored: dict, kind: type, imported: Callable[..., Network]) -> None:
    model = model_of([*nodes, BATCH_NORM], {**stored, **FOUR_NORM}, opset=15)
    net = imported(model)
    assert isinstance(net.layers["below"], kind) and "norm" not in net.layers and net.outputs == ("below",)
    x = whole_numbers(2, *SHAPE)
    parity_test(net(x), by_reference(model, x)[0])


def test_batch_norm_is_folded_into_groups_of_a_transposed_convolution(imported: Callable[..., Network]) -> None:
    nodes = [make_node("ConvTranspose", ["x", "w"], ["a"], group=2, name="below"), BATCH_NORM]
    model = model_of(nodes, {"w": whole_numbers(2, 2, 2, 2), **FOUR_NORM}, opset=15)
    alone = model_of(nodes[:1], {"w": whole_numbers(2, 2, 2, 2)}, opset=15, outputs=["a"])
    x = whole_numbers(2, *SHAPE)
    s, t, u, v = (FOUR_NORM[name][:, None, None] for name in "stuv")
    parity_test(imported(model)(x), (imported(alone)(x) - u) / np.sqrt(v) * s + t)


@pytest.mark.parametrize("other", ["relu", "output"])
def test_batch_norm_stays_where_something_else_reads_the_convolution(other: str, imported: Callable[..., Network]) -> None:
    nodes = [make_node("Conv", ["x", "w"], ["a"], name="below"), BATCH_NORM, make_node("Relu", ["a"], ["z"])]
    outputs = ["y", "z"] if other == "relu" else ["y", "a"]
    model = model_of(nodes, {"w": W, **FOUR_NORM}, outputs=outputs, opset=15)
    net = imported(model)
    assert isinstance(net.layers["norm"], BatchNorm)
    x = whole_numbers(2, *SHAPE)
    for got, ref in zip(net(x), by_reference(model, x), strict=True):
        parity_test(got, ref)


# ---- names, outputs, sizes


def test_names(imported: Callable[..., Network]) -> None:
    nodes = [
        make_node("Conv", ["x", "w"], ["a"], name="/features/features.0/Conv"),
        make_node("Relu", ["a"], ["b"]),
        make_node("Conv", ["b", "v"], ["c"]),
        make_node("Relu", ["c"], ["d"], name="relu4"),
        make_node("MaxPool", ["d"], ["e"], kernel_shape=[1, 1]),
        make_node("Relu", ["e"], ["f1"]),
        make_node("Relu", ["f1"], ["f"]),
        make_node("LRN", ["f"], ["g"], size=3, name="relu4"),
        make_node("Flatten", ["g"], ["h"], name="x"),
        make_node("Gemm", ["h", "u"], ["i"]),
        make_node("Relu", ["i"], ["y"], name="relu5"),
    ]
    stored = {"w": W, "v": whole_numbers(2, 4, 1, 1), "u": whole_numbers(32, 3)}
    assert list(imported(model_of(nodes, stored)).layers) == [
        "x",
        "/features/features.0/Conv",
        "relu1",
        "conv2",
        "relu4",
        "pool1",
        "relu3",
        "relu6",  # the fourth, but that name is another node's, and so is the next
        "norm1",  # its own name is taken
        "flatten1",  # so is its, by the input
        "fc1",
        "relu5",
    ]


def test_several_outputs_and_nodes_out_of_order(imported: Callable[..., Network]) -> None:
    nodes = [
        make_node("Add", ["a", "b"], ["y"], name="sum"),
        make_node("Relu", ["x"], ["a"], name="left"),
        make_node("Nonsense", ["x"], ["n"], name="dead"),
        make_node("Identity", ["x"], ["b"], name="right"),
    ]
    net = imported(model_of(nodes, outputs=["y", "a"]))
    assert list(net.layers) == ["x", "left", "right", "sum"] and net.outputs == ("sum", "left")
    x = whole_numbers(2, *SHAPE)
    total, left = net(x)
    parity_test(left, np.maximum(x, 0))
    parity_test(total, left + x)


@pytest.mark.parametrize("open_size", [(None, None), ("H", "W"), (0, -1)])
def test_an_open_image_size(open_size: tuple, imported: Callable[..., Network]) -> None:
    model = model_of([make_node("Relu", ["x"], ["y"])], shape=("N", 3, *open_size))
    assert imported(model).input_shape == (3, 224, 224)
    assert imported(model, (40, 30)).input_shape == (3, 40, 30)


def test_a_fixed_image_size_is_not_overruled(imported: Callable[..., Network]) -> None:
    model = model_of([make_node("Relu", ["x"], ["y"])])
    assert imported(model, SHAPE[1:]).input_shape == SHAPE
    with pytest.raises(OnnxError, match=r"model\.onnx.*fixed at 6 x 5"):
        imported(model, (7, 5))


# ---- what is unsupported


def test_every_unsupported_node_is_listed(imported: Callable[..., Network]) -> None:
    nodes = [
        make_node("Conv", ["x", "w"], ["a"], name="fine"),
        make_node("Resize", ["a"], ["b"], name="up"),
        make_node("Relu", ["b"], ["c"], name="behind"),
        make_node("MaxPool", ["c"], ["d"], kernel_shape=[2, 2], storage_order=1, name="columns"),
        make_node("LRN", ["a"], ["e"], size=4, name="even"),
        make_node("Sigmoid", ["e"], ["f"]),
        make_node("Mi\nne", ["a"], ["g"], domain="com.example", name="odd\n\x1b[31m"),
        make_node("Conv", ["a", "a"], ["h"], name="dynamic"),
        make_node("Sum", ["d", "f", "g", "h"], ["y"], name="sum"),
    ]
    with pytest.raises(OnnxError) as caught:
        imported(model_of(nodes, {"w": W}))
    message = str(caught.value)
    assert "\n" not in message and "\x1b" not in message
    assert "6 nodes cannot be imported" in message
    for said in (
        "'up' (Resize): unsupported operator;",
        "'columns' (MaxPool): its storage_order is column-major;",
        "'even' (LRN): its size is 4;",
        "unnamed node that makes 'f' (Sigmoid): unsupported operator;",
        "'odd\\n\\x1b[31m' (Mi\\nne): unsupported operator of 'com.example';",
        "'dynamic' (Conv): its input 1 ('a') is computed from the image",
    ):
        assert said in message
    for fine in ("'fine'", "'behind'", "'sum'"):
        assert fine not in message
    assert "; supported are " in message


def test_what_is_supported_is_listed_only_where_an_operator_is_not(imported: Callable[..., Network]) -> None:
    with pytest.raises(OnnxError, match="its size is 4") as caught:
        imported(model_of([make_node("LRN", ["x"], ["y"], size=4)], {}))
    assert "supported are" not in str(caught.value)


REFUSED = {
    "attribute": (one("", "Conv", W, blur=1), "unsupported attribute 'blur'"),
    "attribute type": (one("", "Conv", W, strides=2), "attribute strides is not of type tuple"),
    "one-dimensional": (one("", "Conv", whole_numbers(4, 2, 3)), "needed 4 axes"),
    "negative pads": (one("", "Conv", W, pads=[-1, 0, 0, 0]), "attribute pads"),
    "endless": (one("", "MaxPool", kernel_shape=[2, 2], pads=[0, 0, 2**40, 0]), "attribute pads"),
    "groups": (one("", "Conv", W, group=3), "3 groups"),
    "channels": (one("", "Conv", whole_numbers(4, 3, 1, 1)), "needs an input of shape (3, H, W)"),
    "window": (one("", "MaxPool", kernel_shape=[9, 9]), "empty output"),
    "bias": (one("", "Conv", W, whole_numbers(3)), "needed (4,)"),
    "transA": (one("", "Gemm", whole_numbers(2, 2), transA=1), "transA"),
    "dilated average": (one("", "AveragePool", kernel_shape=[2, 2], dilations=[2, 2], opset=19), "dilated"),
    "auto_pad": (one("", "MaxPool", kernel_shape=[2, 2], auto_pad="SAME"), "auto_pad is 'SAME'"),
    "product": (one("", "Mul", x=("x", "x")), "both of its inputs are computed from the image"),
    "reciprocal": (Case("", [make_node("Div", ["c", "x"], ["y"])], {"c": scalar(1)}), "divides a constant"),
    "stretched": (one("", "Add", whole_numbers(2, 6, 1, 5)), "varies over the batch"),
    "broadcast": (one("", "Add", whole_numbers(2, 1, 1), shape=(1, 6, 5)), "stretch"),
    "concat rows": (one("", "Concat", x=("x", "x"), axis=2), "needed 1, the channels"),
    "flatten": (one("", "Flatten", axis=2), "needed axis 1"),
    "reshape": (one("", "Reshape", longs(2, -1)), "keeps the batch first"),
    "reshape size": (one("", "Reshape", longs(1, 59)), "keeps the batch first"),
    "reshape of the batch": (one("", "Reshape", longs(-1, 30)), "keeps the batch first"),
    "reshape all": (one("", "Reshape", longs(-1)), "keeps the batch first"),
    "transpose": (one("", "Transpose", perm=[1, 0, 2, 3]), "needed the batch first"),
    "squeeze": (one("", "Squeeze", longs(0)), "behind the batch"),
    "unsqueeze": (one("", "Unsqueeze", longs(0)), "behind the batch"),
    "pad mode": (one("", "Pad", longs(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"), "mode 'reflect'"),
    "crop": (one("", "Pad", longs(0, 0, -1, 1, 0, 0, 1, 1)), "its pads"),
    "pad batch": (one("", "Pad", longs(1, 0, 0, 0, 0, 0, 0, 0)), "pads the batch"),
    "training": (one("", "Dropout", scalar(0.5), np.array(True)), "training mode"),
    "training norm": (one("", "BatchNormalization", *NORM, training_mode=1, opset=15), "training_mode"),
    "softmax over maps": (one("", "Softmax", opset=7), "at once"),
    "softmax of the batch": (one("", "Softmax", axis=0), "across the batch"),
    "cast": (one("", "Cast", to=TensorProto.INT8), "no float"),
    "constants alone": (Case("", [make_node("Relu", ["c"], ["a"]), make_node("Add", ["x", "a"], ["y"])], {"c": B}), "Relu"),
    "gather": (one("", "Gather", longs(0)), "does not depend on the image's pixels"),
    "indices": (
        Case("", [make_node("MaxPool", ["x"], ["m", "i"], kernel_shape=[1, 1]), make_node("Add", ["m", "i"], ["y"])]),
        "only its first output",
    ),
    "strings": (Case("", [make_node("Constant", [], ["c"], value_string="a"), make_node("Add", ["x", "c"], ["y"])]), "str"),
    "fill": (
        Case("", [make_node("ConstantOfShape", ["n"], ["c"], value=1), make_node("Add", ["x", "c"], ["y"])], {"n": longs(1)}),
        "value is not a tensor",
    ),
    "many inputs": (one("", "Relu", B), "at most 1"),
    "missing input": (one("", "Conv"), "input 1 is missing"),
    "division by zero": (
        Case(
            "",
            [make_node("Div", ["c", "d"], ["e"]), make_node("Reshape", ["x", "e"], ["y"])],
            {"c": longs(1), "d": longs(0)},
        ),
        "by zero",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_reason_is_named(what: str, imported: Callable[..., Network]) -> None:
    case, reason = REFUSED[what]
    with pytest.raises(OnnxError) as caught:
        imported(model_of(case.nodes, case.stored, ("N", *case.shape), case.opset))
    assert "1 node cannot be imported" in str(caught.value) and reason in str(caught.value)


# ---- broken and hostile files

RELU = make_node("Relu", ["x"], ["y"], name="relu")
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01"


@pytest.mark.parametrize(
    "content",
    [b"", PNG, b"\x00" * 100, b"hello world\n" * 20, bytes(range(256)) * 8],
    ids=["empty", "png", "zeros", "text", "bytes"],
)
def test_no_onnx_at_all(content: bytes, imported: Callable[..., Network]) -> None:
    with pytest.raises(OnnxError, match=r"model\.onnx: .*needed: ") as caught:
        imported(content)
    assert "\n" not in str(caught.value)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    paths = {tmp_path: "directory", tmp_path / "missing.onnx": "No such file", tmp_path / "pipe": "no regular file", "a\0b": "null"}
    for path, reason in paths.items():
        with pytest.raises(ZfcoreError, match=f"{reason}.*; needed: "):
            load_onnx(path)


def test_a_file_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(2**31)  # sparse: takes no room
    with pytest.raises(OnnxError, match="at most"):
        load_onnx(path)


def damaged_graphs() -> dict[str, tuple[onnx.ModelProto, str]]:
    conv = [make_node("Conv", ["x", "w"], ["y"], name="conv")]
    cycle = [make_node("Add", ["x", "b"], ["a"]), make_node("Relu", ["a"], ["b"]), make_node("Relu", ["b"], ["y"])]
    graphs = {
        "cycle": (model_of(cycle), "cycle"),
        "undefined": (model_of([make_node("Add", ["x", "nowhere"], ["y"], name="sum")]), "'nowhere' that 'sum' (Add) needs"),
        "no such output": (model_of([RELU], outputs=["z"]), "'z'"),
        "made twice": (model_of([RELU, RELU]), "made twice"),
        "no nodes": (model_of([], outputs=["x"]), "no network"),
        "old": (model_of([RELU], opset=6), "opset 6"),
        "constant output": (model_of([make_node("Identity", ["w"], ["y"])], {"w": W}), "does not depend on the image"),
        "rank": (model_of([RELU], shape=(1, 5)), "2 axes"),
        "channels": (model_of([RELU], shape=("N", "C", 4, 4)), "channels open"),
        "huge": (model_of([RELU], shape=("N", 3, 2**40, 4)), "too large"),
        "huge in all": (model_of([RELU], shape=("N", 2**16, 2**8, 2**8)), "too large"),
        "padded": (model_of([make_node("Pad", ["x", "p"], ["y"])], {"p": longs(0, 0, *[2**15] * 2, 0, 0, 0, 0)}), "too large"),
    }
    for what, dims, reason in (
        ("truncated weights", (2**20, 2**20, 3, 3), "claims the shape"),
        ("negative", (-4, -2, 3, 2), "claims the shape"),
    ):
        model = model_of(conv, {"w": W})
        model.graph.initializer[0].ClearField("dims")
        model.graph.initializer[0].dims.extend(dims)
        graphs[what] = (model, reason)
    model = model_of(conv, {"w": W})
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    graphs["external"] = (model, "another file, which is not opened")
    model = model_of(conv, {"w": W})
    model.graph.initializer[0].data_type = TensorProto.STRING
    graphs["strings"] = (model, "'conv' (Conv): 'w' is stored as STRING")
    model = model_of([RELU])
    model.graph.input.append(make_tensor_value_info("second", TensorProto.FLOAT, (1,)))
    graphs["two inputs"] = (model, "2 inputs ('x', 'second')")
    model = model_of([RELU])
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    graphs["integers"] = (model, "UINT8")
    return graphs


DAMAGED = damaged_graphs()


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_graph(what: str, imported: Callable[..., Network]) -> None:
    model, reason = DAMAGED[what]
    with pytest.raises(OnnxError) as caught:
        imported(model)
    assert "model.onnx: " in str(caught.value) and reason in str(caught.value)


GREEDY = {
    "ConstantOfShape": ([make_node("ConstantOfShape", ["n"], ["c"])], {"n": longs(2**20, 2**20)}),
    "Expand": ([make_node("Expand", ["b", "n"], ["c"])], {"b": B[:1], "n": longs(2**20, 2**20)}),
    "Range": ([make_node("Range", ["i", "n", "j"], ["c"])], {"i": np.int64(0), "n": np.int64(2**50), "j": np.int64(1)}),
    "Gather": (
        [make_node("ConstantOfShape", ["n"], ["i"], value=numpy_helper.from_array(longs(0))), make_node("Gather", ["w", "i"], ["c"])],
        {"n": longs(2**10), "w": np.zeros((1, 2**14), np.float32)},
    ),
    "Add": (
        [
            make_node("ConstantOfShape", ["n"], ["a"]),
            make_node("ConstantOfShape", ["m"], ["b"]),
            make_node("Add", ["a", "b"], ["c"]),
        ],
        {"n": longs(2**11, 1), "m": longs(1, 2**11)},
    ),
    "Concat": (
        [make_node("Concat", [f"c{i}"] * 2, [f"c{i + 1}"], axis=0) for i in range(40)] + [make_node("Identity", ["c40"], ["c"])],
        {"c0": B},
    ),
}


@pytest.fixture
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lower limit, so that the test itself takes little memory."""
    monkeypatch.setattr("zfcore.formats.onnx_import.MAX_ELEMENTS", 2**20)


@pytest.mark.parametrize("what", GREEDY)
def test_a_small_file_cannot_ask_for_much_memory(what: str, tight: None, imported: Callable[..., Network]) -> None:
    nodes, stored = GREEDY[what]
    with pytest.raises(OnnxError, match=f"{what}.*too large"):
        imported(model_of([*nodes, make_node("Add", ["x", "c"], ["y"])], stored))


def test_one_weight_used_often_is_counted_every_time(tight: None, imported: Callable[..., Network]) -> None:
    nodes = [make_node("Conv", [f"x{i}" if i else "x", "w"], [f"x{i + 1}"], name=f"c{i}") for i in range(20)]
    model = model_of(nodes, {"w": np.ones((2**8, 2**8, 1, 1), np.float32)}, ("N", 2**8, 1, 1), outputs=["x20"])
    with pytest.raises(OnnxError, match=r"'c16' \(Conv\): too large"):
        imported(model)


def network_of_everything() -> bytes:
    """A small valid model with many operators, attributes and constants in it: food for the fuzzer."""
    nodes = [
        make_node("Conv", ["x", "w", "b"], ["a"], name="conv", auto_pad="SAME_UPPER"),
        make_node("BatchNormalization", ["a", *"stuv"], ["c"], name="norm"),
        make_node("Clip", ["c", "low"], ["d"], name="clip"),
        make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], ceil_mode=1, name="pool"),
        make_node("Concat", ["e", "e"], ["f"], axis=1),
        make_node("Pad", ["f", "pads"], ["g"]),
        *[NodeProto.FromString(n.SerializeToString()) for n in FLATTENED_BY_SHAPE],
        make_node("Gemm", ["y", "k"], ["z"], transB=1),
        make_node("Softmax", ["z"], ["p"]),
    ]
    for node in nodes[6:14]:
        node.input[:] = ["g" if i == "x" else i for i in node.input]
    stored = {"w": W, "b": B, **FOUR_NORM, "low": scalar(-3), "pads": longs(0, 0, 0, 1, 0, 0, 0, 0)}
    stored["k"] = whole_numbers(3, 8 * 5 * 5)
    return model_of(nodes, stored, opset=15, outputs=["p"]).SerializeToString()


def test_damaged_bytes_give_one_clear_error_or_a_network(tmp_path: Path) -> None:
    whole = network_of_everything()
    path = tmp_path / "model.onnx"
    path.write_bytes(whole)
    assert load_onnx(path).outputs == ("softmax1",)
    rng = np.random.default_rng(3)
    refused = 0
    for trial in range(600):
        damaged = bytearray(whole)
        if trial % 3 == 0:
            del damaged[rng.integers(len(whole)) :]
        else:
            for place in rng.integers(len(whole), size=1 + trial % 4):
                damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            load_onnx(path)
        except OnnxError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error)
    assert refused > 200


ODD_INTEGERS = (0, 1, -1, 2, 3, 5, 13, 2**16, 2**31, 2**62, 2**63 - 1, -(2**63))
ODD_ATTRIBUTES = ("axis", "axes", "perm", "pads", "to", "group", "kernel_shape", "strides", "auto_pad", "start", "value", "alpha")


def distort(model: onnx.ModelProto, rng: np.random.Generator) -> None:
    """Change one thing in a model so that it is still a model: an operator, an input, an attribute, a stored tensor."""

    def pick(items: Sequence) -> object:
        return items[rng.integers(len(items))]

    graph = model.graph
    node, stored, number = pick(graph.node), pick(graph.initializer), pick(ODD_INTEGERS)
    kind = rng.integers(6)
    if kind == 0:
        node.op_type = pick(sorted(OPERATORS.keys() | FOLDS.keys()))
    elif kind == 1 and node.input:
        node.input[rng.integers(len(node.input))] = pick(["", "x", *(n.output[0] for n in graph.node), stored.name])
    elif kind == 2 and node.attribute:
        del node.attribute[rng.integers(len(node.attribute))]
    elif kind == 3:
        value = pick([number, [number, 1], 0.5, "SAME_LOWER", numpy_helper.from_array(np.array(number))])
        node.attribute.append(onnx.helper.make_attribute(pick(ODD_ATTRIBUTES), value))
    elif kind == 4:
        stored.CopyFrom(numpy_helper.from_array(np.array([number, 1], pick([np.int64, np.float32])), stored.name))
    elif kind == 5 and stored.dims:
        stored.dims[rng.integers(len(stored.dims))] = number


def test_distorted_models_give_one_clear_error_or_a_network(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    path = tmp_path / "model.onnx"
    whole = onnx.ModelProto.FromString(network_of_everything())
    counting = model_of(COUNTED, {"unused": longs(1)}, opset=15)
    refused = 0
    for trial in range(800):
        model = onnx.ModelProto()
        model.CopyFrom(counting if trial % 2 else whole)
        for _ in range(1 + trial % 3):
            distort(model, rng)
        path.write_bytes(model.SerializeToString())
        try:
            load_onnx(path)
        except OnnxError as error:
            refused += 1
            assert str(error).startswith(str(path)) and str(error).isprintable()
    assert 200 < refused < 800


# ---- networks that others made


@pytest.mark.parametrize(("photo", "label"), [("coffee", "espresso"), ("camera", "tripod"), ("chelsea", "Egyptian cat")])
def test_googlenet_names_what_is_on_the_photos(photo: str, label: str, shared_data: Path) -> None:
    names = (shared_data / "models" / "synset_words.txt").read_text().splitlines()
    with Image.open(shared_data / "photos" / f"{photo}.png") as image:
        rgb = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR), np.float32)
    x = (rgb[:, :, ::-1] - np.float32([104, 117, 123])).transpose(2, 0, 1)[None]
    net = load_onnx(shared_data / "models" / "googlenet.onnx")
    assert label in names[int(net(x).argmax())]


def test_googlenet_keeps_its_names(shared_data: Path) -> None:
    net = load_onnx(shared_data / "models" / "googlenet.onnx")
    assert {"conv1/7x7_s2", "conv2/3x3", "inception_3b/output", "inception_5b/output", "prob"} <= net.layers.keys()
    assert net.shapes["inception_5b/output"] == (1024, 7, 7)


@pytest.mark.parametrize("name", ["squeezenet1.1-fp16", "googlenet", "mnist-cntk", "cifar10-pytorch"])
def test_a_published_network_answers_as_onnxruntime_does(name: str, shared_data: Path) -> None:
    path = shared_data / "models" / f"{name}.onnx"
    net, model = load_onnx(path), widened(onnx.load(path))
    x = np.random.default_rng(0).uniform(-100, 100, (1, *net.input_shape)).astype(np.float32)
    (ref,) = by_onnxruntime(model, x)
    bound = rounding_bound(ROUNDINGS["network"], np.abs(ref).max(), np.float32)
    parity_test(net(x), ref, bound, name)


def widened(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with its half floats stored as float32, so that both compute in float32."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for value in [*model.graph.input, *model.graph.output]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    del model.graph.value_info[:]
    return model


def accuracy(net: Network, x: np.ndarray, labels: np.ndarray) -> float:
    answers = np.concatenate([net(part).argmax(axis=1) for part in np.array_split(x, -(-len(x) // 500))])
    return float((answers == labels).mean())


def test_the_mnist_network_reads_digits(shared_data: Path) -> None:
    with gzip.open(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(16 + 1000 * 784), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(shared_data / "mnist" / "t10k-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(8 + 1000), np.uint8, offset=8)
    net = load_onnx(shared_data / "models" / "mnist-cntk.onnx")
    assert accuracy(net, images.astype(np.float32), labels) > 0.97  # of all 10,000: 98.91 %


def test_the_cifar10_network_recognises_what_it_should(shared_data: Path) -> None:
    records = np.fromfile(shared_data / "cifar10" / "test_batch.bin", np.uint8).reshape(-1, 3073)[:1000]
    x = (records[:, 1:].reshape(-1, 3, 32, 32) / np.float32(255) - np.float32(0.5)) / np.float32(0.5)
    net = load_onnx(shared_data / "models" / "cifar10-pytorch.onnx")
    assert accuracy(net, x, records[:, 0]) > 0.62  # of these: 64.4 %
