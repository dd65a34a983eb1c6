"""The command line: ``python -m training.data.soundscapes``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from training.command_line import run_command
from training.data.soundscapes.config import SoundscapeConfig
from training.data.soundscapes.options import (
    add_material_options,
    material,
    read_config,
    with_background_part,
)
from training.data.soundscapes.report import as_table
from training.data.soundscapes.write import check_output, write_scenes

_EPILOG = """examples:
  python -m training.data.soundscapes --clips esc10.csv --audio esc10/audio --folds 1,2,3 \\
      --backgrounds backgrounds --background-part 0.0-0.6 --impulse-responses rooms \\
      --out scenes/train --scenes 2000 --seed 1 -j 2
  python -m training.data.soundscapes --folder speech=recordings --speaker-folds "03,08=1;09,10=2" \\
      --holdout 2:0/2 --select held-out --out scenes/validation --scenes 200 --seed 2
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser."""
    result = argparse.ArgumentParser(
        prog="python -m training.data.soundscapes",
        description="Mix labelled clips over backgrounds into scenes with strong labels.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_material_options(result)
    scene = result.add_argument_group("scenes")
    scene.add_argument("--config", metavar="TOML", help="settings; docs/soundscapes.md lists them")
    scene.add_argument("--scenes", metavar="N", type=int, required=True, help="how many")
    scene.add_argument("--seed", metavar="S", type=int, default=0, help="of the series (0)")
    output = result.add_argument_group("output")
    output.add_argument("--out", metavar="DIR", required=True, help="folder for audio and tables")
    output.add_argument("--format", choices=("flac", "wav"), default="flac", help="16 bits either way (flac)")
    output.add_argument("--force", action="store_true", help="replace scenes that are there already")
    output.add_argument("-j", "--jobs", metavar="N", type=int, default=1, help="processes (1)")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code as the streamsed command line does."""
    options = parser().parse_args(arguments)
    return run_command("soundscapes", lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    check_output(options.out, options.force)
    config = SoundscapeConfig() if options.config is None else read_config(options.config)
    config = with_background_part(config, options.background_part)
    report = write_scenes(
        options.out,
        material(options, config, "soundscapes"),
        config,
        seed=options.seed,
        count=options.scenes,
        jobs=options.jobs,
        audio_format=options.format,
        force=options.force,
    )
    print(as_table(report), end="")


if __name__ == "__main__":
    sys.exit(main())
