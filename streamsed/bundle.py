"""Model bundles: read, verify, write (the schema is in docs/architecture.md).

Reading never unpickles, and nothing of a bundle is used before its schema and every hash have been checked.
"""

from streamsed._bundle.dimensional_emotion import (
    EmotionBundle,
    EmotionGolden,
    EmotionManifest,
    write_emotion_bundle,
    write_emotion_golden,
)
from streamsed._bundle.file_entry import FileEntry
from streamsed._bundle.files import GOLDEN, MANIFEST
from streamsed._bundle.manifest import (
    SCHEMA_VERSION,
    Activation,
    Backend,
    Fusion,
    Graph,
    InputLayout,
    Manifest,
    Member,
    OutputLayout,
    Provenance,
    StateEntry,
    Streaming,
    Waveform,
)
from streamsed._bundle.reading import AnyBundle, read_any_bundle, read_bundle, shipped_bundles, write_golden
from streamsed._bundle.respiratory_cycles import (
    CYCLE_LABELS,
    SEGMENTER_LABELS,
    CycleBundle,
    CycleGolden,
    CycleManifest,
    write_cycle_bundle,
    write_cycle_golden,
)
from streamsed._bundle.side_inputs import AudioInput, ImageInput, SideInput, SideInputSpec, SideKind
from streamsed._bundle.sound_events import Bundle, Golden, write_bundle

__all__ = [
    "CYCLE_LABELS",
    "GOLDEN",
    "MANIFEST",
    "SCHEMA_VERSION",
    "SEGMENTER_LABELS",
    "Activation",
    "AnyBundle",
    "AudioInput",
    "Backend",
    "Bundle",
    "CycleBundle",
    "CycleGolden",
    "CycleManifest",
    "EmotionBundle",
    "EmotionGolden",
    "EmotionManifest",
    "FileEntry",
    "Fusion",
    "Golden",
    "Graph",
    "ImageInput",
    "InputLayout",
    "Manifest",
    "Member",
    "OutputLayout",
    "Provenance",
    "SideInput",
    "SideInputSpec",
    "SideKind",
    "StateEntry",
    "Streaming",
    "Waveform",
    "read_any_bundle",
    "read_bundle",
    "shipped_bundles",
    "write_bundle",
    "write_cycle_bundle",
    "write_cycle_golden",
    "write_emotion_bundle",
    "write_emotion_golden",
    "write_golden",
]
