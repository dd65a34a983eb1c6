"""``python -m training.lung.assemble``: a segmenter and a classifier become one bundle of respiratory cycles."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamsed.bundle import (
    Bundle,
    CycleBundle,
    Provenance,
    read_bundle,
    write_cycle_bundle,
    write_cycle_golden,
)
from streamsed.config import CycleConfig, from_mapping, require
from streamsed.errors import BundleError, FormatError, StreamsedError
from streamsed.golden import check_golden, golden_breathing, make_cycle_golden
from streamsed.respiration import CycleDetector, cycle_latency
from training.recipe import toml_value

# After its end, a cycle is to be reported within so long while somebody listens, whatever the rate of the input.
MOST_SECONDS = 0.5
_ANY_RATE = 44100
LIMITS = "Research software, not a medical device: it must not be used to diagnose, treat or monitor anybody."
LICENCE = (
    "Weights free for research. Cite B. M. Rocha et al., An open access database for the evaluation of respiratory "
    "sound classification algorithms, Physiological Measurement 40(3), 2019 (the ICBHI 2017 database)."
)


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m training.lung.assemble", description=__doc__)
    parser.add_argument("--segmenter", type=Path, required=True, metavar="BUNDLE")
    parser.add_argument("--classifier", type=Path, required=True, metavar="BUNDLE")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--name", default="lung-cycles", help="(default: lung-cycles)")
    parser.add_argument(
        "--settings",
        type=Path,
        action="append",
        default=[],
        metavar="JSON",
        help="fields of CycleConfig; may be repeated",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="[SECTION.]KEY=VALUE", help="override a setting"
    )
    parser.add_argument("--metrics", type=Path, metavar="JSON", help="measured quality of the whole chain")
    arguments = parser.parse_args(argv)
    try:
        bundle = assemble(
            arguments.segmenter,
            arguments.classifier,
            arguments.output,
            name=arguments.name,
            cycles=read_settings(arguments.settings, arguments.set),
            metrics={} if arguments.metrics is None else _read_json(arguments.metrics),
        )
    except StreamsedError as error:
        parser.error(str(error))
    print(f"{bundle.path}: {bundle.name}, {bundle.sample_rate} Hz, {len(bundle.classifier.members)} members")
    return 0


def assemble(
    segmenter: Path,
    classifier: Path,
    folder: Path,
    *,
    name: str,
    cycles: CycleConfig,
    metrics: Mapping[str, Any],
) -> CycleBundle:
    """Write the bundle, with a golden check on synthetic breaths, and check it.

    Parameters
    ----------
    segmenter, classifier : Path
        Exported bundles; see :func:`streamsed.bundle.write_cycle_bundle`.
    folder : Path
        Must not exist yet.
    name : str
    cycles : CycleConfig
    metrics : mapping
        Of the whole chain; those of the two parts are kept beside them.

    Raises
    ------
    BundleError
        If the two do not fit together or to the settings, records would come later than :data:`MOST_SECONDS`, or the
        golden check fails.
    """
    parts = {"segmenter": read_bundle(segmenter), "classifier": read_bundle(classifier)}
    if folder.exists():
        raise BundleError(f"-o: expected a folder that does not exist yet, got {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # What turns out not to work leaves nothing behind.
    with tempfile.TemporaryDirectory(dir=folder.parent) as workplace:
        bundle = write_cycle_bundle(
            Path(workplace) / name,
            name=name,
            segmenter=parts["segmenter"],
            classifier=parts["classifier"],
            cycles=cycles,
            provenance=_provenance(parts, metrics),
        )
        delay = cycle_latency(bundle, sample_rate=_ANY_RATE).final
        if delay > MOST_SECONDS:
            raise BundleError(
                f"bundle {name}: expected records at most {MOST_SECONDS} s after a cycle's end, got {delay:.3f} s: "
                "wait less (--set decoder.wait_seconds=…), or train with less look-ahead"
            )
        golden = make_cycle_golden(CycleDetector(bundle), golden_breathing(bundle.sample_rate))
        bundle = write_cycle_golden(bundle, golden)
        report = check_golden(CycleDetector(bundle))
        if not report.passed:
            raise BundleError(f"bundle {name}: golden check failed right after writing: {report}")
        bundle.path.rename(folder)
    return replace(bundle, path=folder)


def read_settings(files: Iterable[Path], overrides: Iterable[str]) -> CycleConfig:
    """Read settings from JSON objects, later ones before earlier ones, and overrides ``[section.]key=value``.

    Raises
    ------
    ConfigError
        An unknown key, or a value that cannot be used.
    FormatError
        A file that is no JSON object.
    """
    values: dict[str, Any] = {}
    for path in files:
        for key, value in _read_json(path).items():
            # Of a section, a file may give a part only.
            merge = isinstance(value, dict) and isinstance(values.get(key), dict)
            values[key] = {**values[key], **value} if merge else value
    for override in overrides:
        key, separator, text = override.partition("=")
        *sections, name = key.split(".")
        require(bool(separator and name) and len(sections) <= 1, "--set", "[section.]key=value", override)
        table = values
        for section in sections:
            table = table.setdefault(section, {})
            require(isinstance(table, dict), "--set", f"a section called {section!r}", override)
        table[name] = toml_value(text)
    return from_mapping(CycleConfig, values, "cycles")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FormatError(f"{path}: cannot read it: {error.strerror}") from None
    except ValueError as error:
        raise FormatError(f"{path}: not JSON: {error}") from None
    if not isinstance(values, dict):
        raise FormatError(f"{path}: expected an object, got {type(values).__name__}")
    return values


def _provenance(parts: Mapping[str, Bundle], metrics: Mapping[str, Any]) -> Provenance:
    of_parts = {name: bundle.provenance for name, bundle in parts.items()}
    limits = [LIMITS, *(item.limits for item in of_parts.values() if item.limits)]
    licences = [LICENCE, *(item.licence for item in of_parts.values())]
    return Provenance(
        description="Respiratory cycles of a stethoscope, each normal, crackle, wheeze or both, while it breathes",
        data=_joined(item.data for item in of_parts.values()),
        licence=_joined(licences),
        recipe=" + ".join(item.recipe for item in of_parts.values()),
        commit=_joined((item.commit for item in of_parts.values()), " + "),
        metrics={
            **metrics,
            **{name: dict(item.metrics) for name, item in of_parts.items() if item.metrics},
        },
        limits=_joined(limits),
    )


def _joined(texts: Iterable[str], separator: str = " ") -> str:
    """Join different texts, each once."""
    kept = dict.fromkeys(text for text in texts if text)
    return separator.join(text if separator.strip() or text.endswith(".") else f"{text}." for text in kept)


if __name__ == "__main__":
    raise SystemExit(main())
