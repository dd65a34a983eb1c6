"""Records: what stands in the contract, in JSON and back."""

from __future__ import annotations

import dataclasses
import json

import pytest

from streamsed.types import (
    CONTRACT_VERSION,
    Cycle,
    CycleOpen,
    Event,
    Gap,
    Health,
    Onset,
    Retract,
    Start,
    Status,
    Summary,
    Tags,
    record_from_dict,
)

# The lines of the contract, as programs read them.
LINES = {
    '{"v":1,"type":"start","source":"mic0","model":"everyday","sample_rate":16000,'
    '"latency_seconds":{"provisional":0.06,"final":0.15},"time_utc":"2026-01-01T00:00:00Z"}': Start(
        "mic0", "everyday", 16000, {"provisional": 0.06, "final": 0.15}, "2026-01-01T00:00:00Z"
    ),
    '{"v":1,"type":"onset","event_id":"m-7","source":"mic0","label":"dog_bark","onset":12.48,'
    '"confidence":0.83,"provisional":true}': Onset("m-7", "mic0", "dog_bark", 12.48, 0.83),
    '{"v":1,"type":"retract","event_id":"m-7"}': Retract("m-7"),
    '{"v":1,"type":"event","event_id":"m-7","source":"mic0","label":"dog_bark","onset":12.48,"offset":13.12,'
    '"confidence":0.91,"uncertainty":0.04,"spans_gap":false,"truncated":false,"emitted_seconds":13.24,'
    '"time_utc":"2026-01-01T00:00:12.480Z"}': Event(
        "m-7",
        "mic0",
        "dog_bark",
        12.48,
        13.12,
        0.91,
        0.04,
        emitted_seconds=13.24,
        time_utc="2026-01-01T00:00:12.480Z",
    ),
    '{"v":1,"type":"onset","event_id":"m-8","source":"mic0","label":"rain","onset":1.0,"confidence":0.6,'
    '"provisional":true,"members_skipped":3}': Onset("m-8", "mic0", "rain", 1.0, 0.6, members_skipped=3),
    '{"v":1,"type":"gap","start_sample":320000,"missing_samples":1600,"cause":"overflow"}': Gap(
        320000, 1600, "overflow"
    ),
    '{"v":1,"type":"status","state":"stalled","detail":"no block for 1 s"}': Status(
        "stalled", "no block for 1 s"
    ),
    '{"v":1,"type":"health","condition":"clipping","onset":1.5}': Health("clipping", 1.5),
    '{"v":1,"type":"tags","time":2.0,"posteriors":{"rain":0.5}}': Tags(2.0, {"rain": 0.5}),
    '{"v":1,"type":"tags","time":12.0,"posteriors":{"rain":0.5},"source":"mic0","onset":2.0,"tags":["rain","speech"],'
    '"clip_posteriors":{"rain":0.8},"spans_gap":false}': Tags(
        12.0, {"rain": 0.5}, "mic0", 2.0, ("rain", "speech"), {"rain": 0.8}, False
    ),
    '{"v":1,"type":"cycle_open","cycle_id":"m-3","source":"mic0","onset":4.1,"emitted_seconds":4.3}': CycleOpen(
        "m-3", "mic0", 4.1, emitted_seconds=4.3
    ),
    '{"v":1,"type":"cycle_open","cycle_id":"m-3","source":"mic0","onset":4.1,"posteriors":{"normal":0.7,'
    '"wheeze":0.3},"emitted_seconds":5.2}': CycleOpen(
        "m-3", "mic0", 4.1, {"normal": 0.7, "wheeze": 0.3}, emitted_seconds=5.2
    ),
    '{"v":1,"type":"cycle","cycle_id":"m-3","source":"mic0","onset":4.1,"offset":6.5,"label":"wheeze",'
    '"posteriors":{"normal":0.4,"wheeze":0.6},"confidence":0.6,"uncertainty":0.5,"respiratory_rate":25.0,'
    '"forced":false,"truncated":false,"spans_gap":false,"emitted_seconds":6.7}': Cycle(
        "m-3",
        "mic0",
        4.1,
        6.5,
        "wheeze",
        {"normal": 0.4, "wheeze": 0.6},
        0.6,
        0.5,
        25.0,
        emitted_seconds=6.7,
    ),
    '{"v":1,"type":"health","condition":"not_lung_sound","onset":1.5,"source":"mic0"}': Health(
        "not_lung_sound", 1.5, "mic0"
    ),
    '{"v":1,"type":"summary","audio_seconds":60.0,"events":0,"dropped_samples":0,"rtf":0.02,'
    '"latency_ms":{},"cycles":21,"respiratory_rate":22.5}': Summary(
        60.0, 0, 0, 0.02, {}, cycles=21, respiratory_rate=22.5
    ),
    '{"v":1,"type":"summary","audio_seconds":60.0,"events":3,"dropped_samples":0,"rtf":0.02,'
    '"latency_ms":{"p50":40.0,"p95":50.0,"max":60.0}}': Summary(
        60.0, 3, 0, 0.02, {"p50": 40.0, "p95": 50.0, "max": 60.0}
    ),
}


@pytest.mark.parametrize(("line", "record"), LINES.items(), ids=lambda item: getattr(item, "type", ""))
def test_json_both_ways(line, record):
    assert json.dumps(record.to_dict(), separators=(",", ":")) == line
    assert record_from_dict(json.loads(line)) == record


def test_every_type_is_tried():
    assert {record.type for record in LINES.values()} == {
        "start", "onset", "retract", "event", "gap", "status", "health", "tags", "summary",
        "cycle_open", "cycle"
    }  # fmt: skip


def test_version_and_type_come_first():
    for record in LINES.values():
        assert list(record.to_dict())[:2] == ["v", "type"]
        assert record.to_dict()["v"] == CONTRACT_VERSION == 1


def test_what_a_later_version_adds_is_ignored():
    assert record_from_dict({"v": 1, "type": "retract", "event_id": "a", "mood": "good"}) == Retract("a")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "retract", "event_id": "a"}, "v: expected 1, got None"),
        ({"v": 2, "type": "retract", "event_id": "a"}, "v: expected 1, got 2"),
        ({"v": 1, "type": "smell"}, "type: expected one of .* got 'smell'"),
        ({"v": 1}, "type: expected one of .* got None"),
        ({"v": 1, "type": "retract"}, "retract record: .*event_id"),
    ],
)
def test_wrong_objects(fields, message):
    with pytest.raises(ValueError, match=message):
        record_from_dict(fields)


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Retract("a").event_id = "b"  # type: ignore[misc]
