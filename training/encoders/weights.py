"""Public weight files: recognised by name, checked by hash and shapes, never unpickled."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from streamsed.config import require
from streamsed.errors import FormatError
from training.files import file_digest

_SHOWN = 3


@dataclass(frozen=True)
class WeightFile:
    """A weight file that others publish.

    Parameters
    ----------
    file : str
        Its name.
    sha256 : str
        Of its content, or the beginning of it, as projects put it into the name.
    origin : str
        Project that publishes it, and how to get it.
    licence : str
        As far as its publishers say.
    """

    file: str
    sha256: str
    origin: str
    licence: str


def load_weights(
    network: nn.Module, path: str | Path, published: WeightFile, sha256: str | None = None
) -> str:
    """Load a state dict into a network and return the SHA-256 of the file.

    Parameters
    ----------
    network : nn.Module
        Every parameter of it has to be in the file, and nothing else.
    path : str or Path
        The file, or the folder that holds it under its published name.
    published : WeightFile
        What the file has to be.
    sha256 : str, optional
        64 hexadecimal digits of a file of one's own that is loaded instead of the published one, under any name.

    Raises
    ------
    ConfigError
        If ``sha256`` is not a hash.
    FormatError
        If the file is missing, has another name or hash, is no state dict, or its parameters have other names or
        shapes.

    Notes
    -----
    The hash is compared before anything of the file is read, and the file is read with ``weights_only=True``.
    """
    if sha256 is not None:
        digits = len(sha256) == 64 and all(digit in "0123456789abcdef" for digit in sha256)
        require(digits, "sha256", "64 hexadecimal digits in small letters", sha256)
    path = Path(path)
    if path.is_dir():
        path = path / published.file
    if not path.is_file():
        raise FormatError(f"{path}: no such file; expected {published.file} of {published.origin}")
    if sha256 is None and path.name != published.file:
        expected = f"{published.file}, or 'sha256' of a file of one's own"
        raise FormatError(f"{path}: expected {expected}, got a file called {path.name}")
    expected, got = sha256 or published.sha256, file_digest(path)
    if not got.startswith(expected):
        begins = "a SHA-256" if len(expected) == 64 else "a SHA-256 that begins with"
        raise FormatError(
            f"{path}: expected {begins} {expected}, got {got}; damaged, or not what its name says"
        )
    _fill(network, path)
    return got


def _fill(network: nn.Module, path: Path) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FormatError(f"{path}: not a file of weights alone: {first}") from None
    if not isinstance(state, dict) or not all(isinstance(item, torch.Tensor) for item in state.values()):
        raise FormatError(f"{path}: expected names and tensors, got {type(state).__name__}")
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    if wanted != found:
        names = sorted({*wanted, *found}, key=lambda name: (name in wanted and name in found, name))
        wrong = [
            f"{name}: expected {wanted.get(name, 'nothing')}, got {found.get(name, 'nothing')}"
            for name in names
            if wanted.get(name) != found.get(name)
        ]
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise FormatError(
            f"{path}: its parameters are not those of the network: {'; '.join(wrong[:_SHOWN])}{more}"
        )
    network.load_state_dict(state)
