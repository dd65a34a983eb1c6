"""Graphs as TorchScript; needs the extra ``torch``."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamsed.errors import BundleError, ConfigError
from streamsed.models.base import Device, Floats, Provider, TensorInfo


class TorchScriptGraph:
    """The tensors of a TorchScript module, which takes them by position.

    It returns a tensor, a tuple or list of them, called "0", "1" and so on, or a dictionary with names.

    Parameters
    ----------
    content : bytes
    where : str
        How messages call the file.
    provider : {"cpu", "cuda", "auto"}
    num_threads : int, optional
        For the whole process; left alone by default.

    Raises
    ------
    BundleError
        If PyTorch cannot load it.
    ConfigError
        If PyTorch or the provider is not there.
    """

    inputs: tuple[TensorInfo, ...] | None = None
    output_names: tuple[str, ...] | None = None

    def __init__(self, content: bytes, where: str, provider: Provider, num_threads: int | None) -> None:
        try:
            import torch
        except ImportError:
            raise ConfigError(
                "backend: expected PyTorch to be there for 'torchscript', got none; "
                'install the extra: pip install "streamsed[torch]"'
            ) from None
        self._torch: Any = torch
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        self.device = _device(torch, provider)
        try:
            module = torch.jit.load(io.BytesIO(content), map_location=self.device)
        except RuntimeError as error:
            raise BundleError(f"{where}: TorchScript cannot load it: {error}") from None
        self._module = module.eval()
        self._where = where

    def call(self, inputs: Sequence[Floats], outputs: Sequence[str] | None = None) -> Mapping[str, Floats]:
        """Compute the outputs of these names, all by default."""
        torch = self._torch
        tensors = [torch.from_numpy(np.ascontiguousarray(array)).to(self.device) for array in inputs]
        try:
            with torch.inference_mode():
                found = self._module(*tensors)
        except (RuntimeError, NotImplementedError) as error:
            raise BundleError(f"{self._where}: TorchScript failed: {error}") from None
        named = self._named(found)
        names = list(named) if outputs is None else outputs
        missing = [name for name in names if name not in named]
        if missing:
            raise BundleError(f"{self._where}: outputs: expected {missing} among them, got {list(named)}")
        return {name: named[name].cpu().numpy() for name in names}

    def _named(self, found: Any) -> dict[str, Any]:
        torch = self._torch
        if isinstance(found, torch.Tensor):
            return {"0": found}
        items = found.items() if isinstance(found, dict) else enumerate(found)
        return {str(name): item for name, item in items if isinstance(item, torch.Tensor)}


def _device(torch: Any, provider: Provider) -> Device:
    has_cuda = provider != "cpu" and torch.cuda.is_available()
    if provider == "cuda" and not has_cuda:
        raise ConfigError("provider: expected a usable GPU for 'cuda', got none; use 'auto' or 'cpu'")
    return "cuda" if has_cuda else "cpu"
