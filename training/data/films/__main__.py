"""The command line: ``python -m training.data.films``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from training.command_line import run_command
from training.data.films.config import FilmConfig, config_from_mapping
from training.data.films.render import make_film
from training.data.films.write import contact_sheet, write_part
from training.data.soundscapes.options import add_material_options, material, read_toml, with_background_part
from training.data.soundscapes.report import as_table

_EPILOG = """example:
  python -m training.data.films --clips esc10.csv --audio esc10/audio --folds 1 --backgrounds backgrounds \\
      --background-part 0.0-0.6 --out films --part train/weak --supervision weak --films 300 --seed 1
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser."""
    result = argparse.ArgumentParser(
        prog="python -m training.data.films",
        description="Mix scenes and render films of them, in which the objects that sound are seen and move.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_material_options(result)
    films = result.add_argument_group("films")
    films.add_argument("--config", metavar="TOML", help="settings; docs/films.md lists them")
    films.add_argument("--films", metavar="N", type=int, required=True, help="how many")
    films.add_argument("--seed", metavar="S", type=int, default=0, help="of the series (0)")
    output = result.add_argument_group("output")
    output.add_argument("--out", metavar="DIR", required=True, help="folder of the data set")
    output.add_argument("--part", metavar="NAME", default="test/test", help="part of it (test/test)")
    output.add_argument(
        "--supervision",
        choices=("strong", "weak", "unlabelled"),
        default="strong",
        help="what its table says (strong)",
    )
    output.add_argument("--sheet", metavar="PNG", help="also draw pictures of the first films")
    output.add_argument("--force", action="store_true", help="replace a part that is there already")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code as the streamsed command line does."""
    options = parser().parse_args(arguments)
    return run_command("films", lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    config = FilmConfig()
    if options.config is not None:
        config = config_from_mapping(read_toml(options.config), options.config)
    config = replace(config, sound=with_background_part(config.sound, options.background_part))
    catalogue = material(options, config.sound, "films")
    report = write_part(
        options.out,
        options.part,
        catalogue,
        config,
        seed=options.seed,
        count=options.films,
        supervision=options.supervision,
        force=options.force,
    )
    if options.sheet is not None:
        from matplotlib.image import imsave

        some = [make_film(catalogue, config, options.seed, index) for index in range(min(options.films, 12))]
        imsave(options.sheet, contact_sheet([film.pictures for film in some]))
    print(as_table(report), end="")


if __name__ == "__main__":
    sys.exit(main())
