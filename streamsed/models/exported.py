"""Networks whose tensors are those of the exported graph (docs/architecture.md)."""

from __future__ import annotations

from streamsed.bundle import Manifest
from streamsed.errors import BundleError
from streamsed.models.base import Floats, Graph, Outputs, State, has_free_batch


class ExportedNetwork:
    """Log-mel frames and states in, posteriors, confidence and new states out.

    Parameters
    ----------
    graph : Graph
    manifest : Manifest
    where : str
        How messages call the file.

    Raises
    ------
    BundleError
        If the graph names its tensors, and otherwise than the manifest.

    Attributes
    ----------
    takes_lanes : bool
        What the graph says of its batch axes; TorchScript does not say, but the contract of export is that they are
        free.
    """

    def __init__(self, graph: Graph, manifest: Manifest, where: str) -> None:
        states = [entry.name for entry in manifest.state]
        inputs = ["log_mel", *states]
        outputs = [*manifest.outputs, *(f"{name}_out" for name in states)]
        for kind, expected, found in (
            ("inputs", inputs, None if graph.inputs is None else [item.name for item in graph.inputs]),
            ("outputs", outputs, None if graph.output_names is None else list(graph.output_names)),
        ):
            if found is not None and expected != found:
                raise BundleError(f"{where}: {kind}: expected {expected}, got {found}")
        self.takes_lanes = has_free_batch(graph, default=True) and all(
            entry.shape[:1] == (1,) for entry in manifest.state
        )
        self.device = graph.device
        self._graph = graph
        self._where = where
        self._n_outputs = len(manifest.outputs)
        self._n_found = len(outputs)

    def run(self, frames: Floats, state: State) -> tuple[Outputs, State]:
        """Map log-mel frames, shape (B, T, n_mels), and the states to outputs and new states."""
        found = tuple(self._graph.call((frames, *state)).values())
        if len(found) != self._n_found:
            raise BundleError(f"{self._where}: outputs: expected {self._n_found}, got {len(found)}")
        confidence = found[1] if self._n_outputs == 2 else None
        return Outputs(found[0], confidence), found[self._n_outputs :]
