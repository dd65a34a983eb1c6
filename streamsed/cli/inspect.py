"""``streamsed inspect BUNDLE``: what a bundle says, and whether it works here."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

from streamsed.cli.console import MODEL, complain
from streamsed.cli.parser import add_command
from streamsed.cli.tables import pairs

if TYPE_CHECKING:
    from argparse import Namespace

    from streamsed.bundle import AnyBundle, Bundle, CycleBundle, EmotionBundle, Graph, SideInput
    from streamsed.config import TaggingConfig
    from streamsed.golden import GoldenReport


# What the golden check of a task counts.
_THINGS = {
    "sound_events": "events",
    "respiratory_cycles": "cycles",
    "dimensional_emotion": "records of emotion",
}


def add_to(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(subparsers, "inspect", "print a model bundle and re-run its golden check", run)
    parser.add_argument(
        "bundle", metavar="BUNDLE", help="name of a shipped model, or path of a folder or zip"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument(
        "--provider", choices=["cpu", "cuda", "auto"], default="cpu", help="where it computes"
    )
    parser.add_argument(
        "--backend", choices=["onnx", "torchscript"], help="what computes (default: what the model has)"
    )


def run(arguments: Namespace) -> int:
    """Print and check."""
    from streamsed.cli.model_choice import chosen_bundle
    from streamsed.cli.models import description, lines

    bundle = chosen_bundle(arguments.bundle)
    if not arguments.json:
        print(pairs([*lines(bundle), *_technical(bundle)]), flush=True)
    report, problem = _golden(bundle, arguments)
    if arguments.json:
        facts = {
            **dataclasses.asdict(bundle),
            **description(bundle),
            "golden_check": dataclasses.asdict(report) | {"passed": report.passed} if report else None,
        }
        print(json.dumps(facts, default=str))
    elif report is not None:
        things = _THINGS[bundle.task]
        print(
            f"  golden check {'passed' if report.passed else 'FAILED'}: posteriors differ by "
            f"{report.max_difference:.1e} (allowed {report.tolerance:g}), "
            f"{report.found_events} of {report.expected_events} {things}, "
            f"{'the same' if report.events_equal else 'not the same'}"
        )
    if problem:
        complain(problem)
    return 0 if report is not None and report.passed else MODEL


def _golden(bundle: AnyBundle, arguments: Namespace) -> tuple[GoldenReport | None, str]:
    from streamsed.detector import load
    from streamsed.errors import BundleError
    from streamsed.golden import check_golden

    try:
        report = check_golden(load(bundle.path, backend=arguments.backend, provider=arguments.provider))
    except BundleError as error:
        return None, str(error)
    return report, "" if report.passed else f"bundle {bundle.name}: the golden check failed"


def _technical(bundle: AnyBundle) -> list[tuple[str, str]]:
    from streamsed.bundle import Bundle, CycleBundle

    head = [("  path", str(bundle.path)), ("  schema", str(bundle.schema_version))]
    if isinstance(bundle, Bundle):
        networks = _network(bundle)
    else:
        networks = _cycles(bundle) if isinstance(bundle, CycleBundle) else _emotion(bundle)
    return [
        *head,
        *networks,
        ("  recipe", f"{bundle.provenance.recipe} at {bundle.provenance.commit or 'unknown commit'}"),
        *([("  source", bundle.provenance.source)] if bundle.provenance.source else []),
    ]


def _emotion(bundle: EmotionBundle) -> list[tuple[str, str]]:
    config, functionals = bundle.emotion, bundle.functionals
    front_end = functionals.front_end
    milliseconds = 1000 * front_end.hop_length / front_end.sample_rate
    return [
        (
            "  functionals",
            f"{bundle.feature_count}, of {front_end.n_mels} mels, pitch {functionals.pitch_min:g}-"
            f"{functionals.pitch_max:g} Hz and periodicity every {milliseconds:g} ms",
        ),
        (
            "  windows",
            f"{config.window_seconds:g} s every {config.hop_seconds:g} s, from {config.least_seconds:g} s on where "
            f"sound begins; levels smoothed over {config.smoothing_seconds:g} s",
        ),
        ("  voice gate", f"{bundle.gate.file}, from {config.speech_threshold:g} on"),
        ("  members", ", ".join(entry.file for entry in bundle.members)),
    ]


def _cycles(bundle: CycleBundle) -> list[tuple[str, str]]:
    cycles = bundle.cycles
    preparation, decoder, gate = cycles.preparation, cycles.decoder, cycles.gate
    weights = zip(bundle.labels, cycles.class_weights, strict=True)
    return [
        (
            "  cycles",
            f"segments of {preparation.segment_seconds:g} s in {preparation.chunks} chunks, "
            f"{preparation.padding} padding",
        ),
        ("  class weights", ", ".join(f"{label} {weight:g}" for label, weight in weights)),
        (
            "  boundaries",
            f"threshold {decoder.threshold:g}, wait {decoder.wait_seconds:g} s, usual period "
            f"{decoder.period_seconds:g} s, {decoder.min_seconds:g} to {decoder.max_seconds:g} s",
        ),
        (
            "  quality gate",
            f"lung sounds from {gate.lung_on:g}, not below {gate.lung_off:g}; speech and contact noise up to "
            f"{gate.noise_on:g}, then below {gate.noise_off:g}; averages of {gate.seconds:g} s",
        ),
        *(
            (f"  {part}{name}", text)
            for part, manifest in (("segmenter", bundle.segmenter), ("classifier", bundle.classifier))
            for name, text in [("", ", ".join(manifest.labels)), *_network(manifest, with_decisions=False)]
        ),
    ]


def _network(bundle: Bundle, with_decisions: bool = True) -> list[tuple[str, str]]:
    clock, frame_seconds = bundle.clock, bundle.frame_shape[0] / bundle.sample_rate
    streaming = "causal"
    if bundle.streaming.kind == "windowed":
        window, hop = bundle.streaming.window_frames or 0, bundle.streaming.hop_frames or 0
        streaming = (
            f"windows of {window} frames ({window * frame_seconds:.4g} s) "
            f"every {hop} ({hop * frame_seconds:.4g} s)"
        )
    post = bundle.post_processing
    return [
        ("  front-end", _front_end(bundle)),
        *([("  graph", _graph(bundle.graph))] if bundle.graph else []),
        *((f"  side input {item.name}", _side_input(item)) for item in bundle.side_inputs),
        ("  streaming", f"{streaming}, one posterior every {1000 * clock.frame_seconds:.1f} ms"),
        ("  context", "unbounded" if bundle.context_frames is None else f"{bundle.context_frames} frames"),
        ("  look-ahead", f"{bundle.look_ahead_frames} frames"),
        ("  state", ", ".join(f"{entry.name} {list(entry.shape)}" for entry in bundle.state) or "none"),
        ("  outputs", ", ".join(bundle.outputs)),
        *(
            (
                f"  member {member.name}",
                ", ".join(f"{kind} {entry.file}" for kind, entry in member.files.items()),
            )
            for member in bundle.members
        ),
        ("  fusion", "weights " + " ".join(f"{weight:g}" for weight in bundle.fusion.weights)),
        *([("  decisions", _post(post.default))] if with_decisions else []),
        *(
            (f"    {label}", _post(settings))
            for label, settings in post.labels.items()
            if settings != post.default
        ),
        *([("  tags", _tagging(bundle.tagging))] if with_decisions else []),
    ]


def _front_end(bundle: Bundle) -> str:
    config = bundle.front_end
    if config is None:
        return f"none: samples at {bundle.sample_rate} Hz, in frames of {bundle.frame_shape[0]}"
    f_max = config.sample_rate / 2 if config.f_max is None else config.f_max
    return (
        f"{config.sample_rate} Hz, window {config.window_length}, hop {config.hop_length}, "
        f"n_fft {config.n_fft}, {config.n_mels} mels {config.f_min:g}-{f_max:g} Hz, "
        f"{config.normalisation} normalisation"
    )


def _side_input(item: SideInput) -> str:
    if item.image is not None:
        rate = "" if item.rate_hz is None else f", {item.rate_hz:g} a second at most"
        source = f"pictures {item.image.width} x {item.image.height}{rate}"
    else:
        assert item.audio is not None  # the manifest saw to it
        config, window, hop = item.audio.front_end, item.audio.window_frames, item.audio.hop_frames
        seconds = config.hop_length / config.sample_rate
        bands = f"{config.n_mels} mels at {config.sample_rate} Hz"
        source = f"sound, {window * seconds:.4g} s of {bands} every {hop * seconds:.4g} s"
    return f"{source}; {item.features} values, up to {item.max_age_seconds:g} s old; {item.encoder.file}"


def _graph(graph: Graph) -> str:
    level = "clip-level" if graph.is_clip_level else "frame-level"
    kept = "all classes" if graph.columns is None else f"{len(graph.columns)} classes kept"
    return (
        f"input {graph.input_layout}, output {graph.output} {graph.output_layout} ({level}), "
        f"activation {graph.activation}, {kept}"
    )


def _tagging(config: TaggingConfig) -> str:
    own = "".join(f", {label} {value:g}" for label, value in config.thresholds.items())
    pooling = f"{config.pooling.replace('_', ' ')} pooling, over {config.window_seconds:g} s of a stream"
    return f"{pooling}, threshold {config.default_threshold:g}{own}"


def _post(settings: Any) -> str:
    if settings.method == "change":
        return (
            f"segments with a mean of {settings.threshold_on:g}, step filter {settings.step_seconds:g} s, "
            f"changes of {settings.merge_absolute:g} and {settings.merge_relative:g} times, "
            f"median {settings.median_seconds:g} s, at least {settings.min_duration:g} s"
        )
    return (
        f"on {settings.threshold_on:g}, off {settings.threshold_off:g}, "
        f"median {settings.median_seconds:g} s, at least {settings.min_duration:g} s, "
        f"gaps up to {settings.min_gap:g} s"
    )
