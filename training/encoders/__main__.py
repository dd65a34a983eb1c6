"""The command line: ``python -m training.encoders``."""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streamsed.annotations import AUDIO_EXTENSIONS
from streamsed.cli.console import INPUT
from streamsed.config import require
from streamsed.errors import FormatError
from streamsed.sources.containers import CONTAINER_EXTENSIONS
from training.command_line import run_command
from training.encoders.base import item_shape
from training.encoders.config import encoder_from_config
from training.encoders.extract import DEFAULT_BATCH, extract
from training.encoders.vgg16 import WEIGHTS as VGG16_WEIGHTS
from training.encoders.vggish import WEIGHTS as VGGISH_WEIGHTS

_EPILOG = """examples:
  python -m training.encoders info
  python -m training.encoders info --encoder kind=vggish --encoder weights=weights
  python -m training.encoders extract --encoder kind=vggish --encoder weights=weights --cache embeddings clips/audio
  python -m training.encoders extract --encoder encoder.toml --cache embeddings -j 4 clips/video
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser."""
    result = argparse.ArgumentParser(
        prog="python -m training.encoders",
        description="Embeddings of sound and pictures by pretrained networks.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = result.add_subparsers(metavar="COMMAND", dest="command", required=True)
    info = commands.add_parser("info", help="say what an encoder takes and gives, or which weights there are")
    run = commands.add_parser("extract", help="compute the embeddings of audio and video files once")
    for command in (info, run):
        command.add_argument(
            "--encoder",
            metavar="KEY=VALUE|TOML",
            action="append",
            default=[],
            required=command is run,
            help="settings of the encoder, or a file that holds them; docs/encoders.md lists them",
        )
    run.add_argument("media", metavar="FILE|DIR", nargs="+", help="audio and video files, or folders of them")
    run.add_argument("--cache", metavar="DIR", required=True, help="where embeddings are kept")
    run.add_argument(
        "--precision", choices=("float16", "float32"), default="float16", help="of what is kept (float16)"
    )
    run.add_argument(
        "--batch-size", metavar="N", type=int, default=DEFAULT_BATCH, help=f"at a time ({DEFAULT_BATCH})"
    )
    run.add_argument("-j", "--jobs", metavar="N", type=int, default=1, help="processes (1)")
    run.add_argument(
        "--skip-bad",
        action="store_true",
        help="note of files that cannot be read, or lack sound or pictures, that they have no embeddings",
    )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code as the streamsed command line does."""
    options = parser().parse_args(arguments)
    step = _extract if options.command == "extract" else _info
    return run_command("encoders", lambda: step(options), "interrupted; the same command goes on from here")


def _info(options: argparse.Namespace) -> int:
    if not options.encoder:
        for kind, weights in (("vggish", VGGISH_WEIGHTS), ("vgg16", VGG16_WEIGHTS)):
            print(f"{kind}: {weights.file}\n  from: {weights.origin}\n  licence: {weights.licence}")
        print("onnx: any graph\nspeech: wav2vec 2.0, HuBERT, WavLM of the transformers library")
        return 0
    encoder = encoder_from_config(_settings(options.encoder))
    print(f"{encoder.name}: {encoder.fingerprint()}")
    print(f"  takes {encoder.kind}: {' x '.join(map(str, item_shape(encoder.input)))}, {encoder.input}")
    if encoder.rate_hz is not None:
        print(f"  pictures a second, at most: {encoder.rate_hz:g}")
    print(f"  gives: {encoder.features} numbers")
    return 0


def _extract(options: argparse.Namespace) -> int:
    config = _settings(options.encoder)
    encoder = encoder_from_config(config)
    done = extract(
        _media(options.media, encoder.kind),
        config,
        options.cache,
        encoder=encoder,
        precision=options.precision,
        workers=options.jobs,
        batch_size=options.batch_size,
        skip_bad=options.skip_bad,
    )
    for failure in done.failures:
        print(f"encoders: {failure.reason}", file=sys.stderr)
    counts = (
        f"{done.computed} files computed, {done.known} known already, {len(done.failures)} without embeddings"
    )
    print(f"{done.folder}: {counts}")
    return INPUT if done.failures and not options.skip_bad else 0


def _settings(texts: Sequence[str]) -> dict[str, Any]:
    """Put files and KEY=VALUE together; a value is TOML, or a text as it stands."""
    values: dict[str, Any] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            try:
                values |= tomllib.loads(Path(text).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise FormatError(f"{text}: expected KEY=VALUE, or a TOML file: {error}") from None
            continue
        require(key.isidentifier(), "--encoder", "KEY=VALUE", text)
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            values[key] = value
    return values


def _media(places: Sequence[str], kind: str) -> list[Path]:
    """List files, and what of folders an encoder of this kind can take."""
    wanted = CONTAINER_EXTENSIONS if kind == "image" else CONTAINER_EXTENSIONS | AUDIO_EXTENSIONS
    found: list[Path] = []
    for place in map(Path, places):
        if not place.is_dir():
            found.append(place)
            continue
        inside = sorted(
            path
            for path in place.rglob("*")
            if path.suffix.lower() in wanted and not path.name.startswith(".") and path.is_file()
        )
        if not inside:
            raise FormatError(
                f"{place}: expected {'video' if kind == 'image' else 'audio or video'} files, got none"
            )
        found += inside
    return found


if __name__ == "__main__":
    sys.exit(main())
