"""A machine without enough memory is told what to do, not shown a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from streamsed.errors import StreamsedError

# What torch's CPU allocator and the standard library of C++ say; CUDA has a class of its own.
_MESSAGES = ("not enough memory", "can't allocate memory", "Cannot allocate memory", "bad_alloc")


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether ``error`` is for want of memory, of the CPU or of a GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, (RuntimeError, OSError)) and any(text in str(error) for text in _MESSAGES)


@contextmanager
def named_out_of_memory(batch_size: int, checkpoint: Path) -> Iterator[None]:
    """Turn errors for want of memory into one that says what can be done.

    Parameters
    ----------
    batch_size : int
        Scenes in a step.
    checkpoint : Path
        From which the training can go on, if there is one.

    Raises
    ------
    StreamsedError
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        smaller = f"--set train.batch_size={max(1, batch_size // 2)}"
        then = (
            f"; what was trained is kept, the same command goes on from {checkpoint}"
            if checkpoint.exists()
            else ""
        )
        raise StreamsedError(
            f"batch_size: expected a batch that fits into memory, got {batch_size} scenes, for which it did not "
            f"suffice; try {smaller}, or a smaller net{then}"
        ) from error
