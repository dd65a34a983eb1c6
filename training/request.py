"""What the command line asks of a task's package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """One call of ``python -m training``.

    Parameters
    ----------
    step : str
        One of the ``STEPS`` of the package.
    recipe : str
        Folder name below training/recipes.
    overrides : tuple of str
        ``section.key=value``.
    run : Path
        Folder of checkpoints and logs.
    output : Path
        Folder of the bundle.
    resume : bool
        train: continue from a checkpoint that is there.
    force : bool
        export: replace a bundle that is there.
    """

    step: str
    recipe: str
    overrides: tuple[str, ...]
    run: Path
    output: Path
    resume: bool = True
    force: bool = False
