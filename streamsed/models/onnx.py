"""Graphs on ONNX Runtime, the default backend."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from streamsed.errors import BundleError, ConfigError
from streamsed.models.base import Device, Floats, Provider, TensorInfo

_log = logging.getLogger("streamsed")


class OnnxGraph:
    """The tensors of an ONNX file.

    Parameters
    ----------
    content : bytes
    where : str
        How messages call the file.
    provider : {"cpu", "cuda", "auto"}
    num_threads : int, optional
        Inside an operator; 1 by default.

    Raises
    ------
    BundleError
        If ONNX Runtime cannot load it.
    ConfigError
        If the provider is not there.
    """

    def __init__(self, content: bytes, where: str, provider: Provider, num_threads: int | None) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1 if num_threads is None else num_threads
        options.inter_op_num_threads = 1
        # Idle workers of a stream that waits for sound most of the time must not burn a core.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        providers = _providers(provider, ort.get_available_providers())
        try:
            self._session = ort.InferenceSession(content, options, providers=providers)
        except Exception as error:  # ONNX Runtime's own exception types are many and private
            raise BundleError(f"{where}: ONNX Runtime cannot load it: {error}") from None
        used = self._session.get_providers()
        if provider == "cuda" and "CUDAExecutionProvider" not in used:
            raise ConfigError(f"provider: expected a usable GPU for 'cuda', got {used}; use 'auto' or 'cpu'")
        self.inputs: tuple[TensorInfo, ...] | None = tuple(
            TensorInfo(
                item.name, tuple(size if isinstance(size, int) else None for size in item.shape), item.type
            )
            for item in self._session.get_inputs()
        )
        self.device: Device = "cuda" if "CUDAExecutionProvider" in used else "cpu"
        # A GPU that fails is told, not replaced.
        self._session.disable_fallback()
        # The wrapper checks what this class and the loader have checked: a tenth of a step of a small network.
        self._run = getattr(self._session, "_sess", self._session).run
        self._input_names = [item.name for item in self._session.get_inputs()]
        self._all = [item.name for item in self._session.get_outputs()]
        self.output_names: tuple[str, ...] | None = tuple(self._all)
        self._where = where

    def call(self, inputs: Sequence[Floats], outputs: Sequence[str] | None = None) -> Mapping[str, Floats]:
        """Compute the outputs of these names, all by default."""
        names = self._all if outputs is None else list(outputs)
        # A plain dictionary is the fastest way in: for tensors this small, binding costs more than it saves.
        try:
            found = self._run(names, dict(zip(self._input_names, inputs, strict=True)), None)
        except Exception as error:  # see above
            raise BundleError(f"{self._where}: ONNX Runtime failed: {error}") from None
        return dict(zip(names, found, strict=True))


def _providers(provider: Provider, available: list[str]) -> list[str]:
    has_cuda = "CUDAExecutionProvider" in available
    if provider == "cuda" and not has_cuda:
        raise ConfigError(
            f"provider: expected one that this ONNX Runtime has ({available}), got 'cuda'; "
            "install onnxruntime-gpu, or use 'cpu'"
        )
    if provider == "auto" and not has_cuda:
        _log_fallback_once()
    return (
        ["CUDAExecutionProvider", "CPUExecutionProvider"]
        if provider != "cpu" and has_cuda
        else ["CPUExecutionProvider"]
    )


_said = False


def _log_fallback_once() -> None:
    global _said
    if not _said:
        _said = True
        _log.info("provider auto: this ONNX Runtime has no CUDA provider, computing on the CPU")
