"""ONNX graphs made to take batches with the axes that all encoders have."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper


def with_plain_axes(
    content: bytes, axes: Sequence[int | None], item_shape: Sequence[int], output: str
) -> bytes:
    """Return the graph behind what brings a batch into its order, with input "batch" and output "embeddings".

    Parameters
    ----------
    content : bytes
        An ONNX model with one input.
    axes : sequence of int or None
        Axes of the batch in the order of the model; None is one of size 1.
    item_shape : sequence of int
        Sizes of an item of the batch.
    output : str
        Name of the output that is kept, as (B, D).
    """
    model = onnx.load_from_string(content)
    graph = model.graph
    inner = graph.input[0].name
    fixed = graph.input[0].type.tensor_type.shape.dim[0]
    batch = fixed.dim_value if fixed.HasField("dim_value") else "B"
    sizes = [0, *item_shape]
    shape = [0 if axis == 0 else 1 if axis is None else sizes[axis] for axis in axes]
    before = [
        helper.make_node(
            "Transpose", ["batch"], ["batch_turned"], perm=[axis for axis in axes if axis is not None]
        ),
        helper.make_node("Reshape", ["batch_turned", "batch_shape"], [inner]),
    ]
    after = helper.make_node("Flatten", [output], ["embeddings"], axis=1)
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *nodes, after])
    graph.initializer.append(helper.make_tensor("batch_shape", TensorProto.INT64, [len(shape)], shape))
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("batch", TensorProto.FLOAT, [batch, *item_shape]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, [batch, None]))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
