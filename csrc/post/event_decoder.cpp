#include "post/event_decoder.hpp"

#include <algorithm>
#include <cmath>

#include "base/errors.hpp"
#include "post/entropy.hpp"
#include "post/median_filter.hpp"

namespace streamsed {

void DecoderSettings::validate() const {
  const std::size_t n = threshold_on.size();
  require(n >= 1, "threshold_on", "one threshold per class", "none");
  require(threshold_off.size() == n, "threshold_off", "as many as threshold_on", threshold_off.size());
  require(min_duration.size() == n, "min_duration", "as many as threshold_on", min_duration.size());
  require(min_gap.size() == n, "min_gap", "as many as threshold_on", min_gap.size());
  for (std::size_t k = 0; k < n; ++k) {
    require(threshold_on[k] > 0.0F && threshold_on[k] <= 1.0F, "threshold_on", "in (0, 1]", threshold_on[k]);
    require(threshold_off[k] > 0.0F && threshold_off[k] <= threshold_on[k], "threshold_off", "in (0, threshold_on]",
            threshold_off[k]);
    require(min_duration[k] >= 0, "min_duration", "frames of 0 or more", min_duration[k]);
    require(min_gap[k] >= 0, "min_gap", "frames of 0 or more", min_gap[k]);
  }
  std::size_t first_free = 0;
  for (const ChangeSettings& item : changes) {
    require(item.column >= first_free && item.column < n, "changes", "columns in ascending order", item.column);
    first_free = item.column + 1;
  }
}

void EventDecoder::Tally::add(float value) {
  posterior += value;
  entropy += entropy_bits(value);
  ++frames;
}

void EventDecoder::Tally::add(const Tally& other) {
  posterior += other.posterior;
  entropy += other.entropy;
  frames += other.frames;
}

EventDecoder::EventDecoder(DecoderSettings settings)
    : settings_((settings.validate(), std::move(settings))),
      kernels_(post_kernels(active_isa())),
      tracks_(settings_.classes()),
      runs_(settings_.classes()),
      raw_starts_(settings_.classes(), 0),
      changes_(settings_.changes) {
  auto change = settings_.changes.begin();
  for (std::size_t k = 0; k < tracks_.size(); ++k) {
    if (change != settings_.changes.end() && change->column == k) {
      ++change;
    } else {
      hysteresis_.push_back(k);
    }
  }
  // A streaming chunk of a few frames never decides more than this, so it allocates nothing.
  decisions_.reserve(16 * tracks_.size() + 64);
}

void EventDecoder::reset() {
  std::fill(tracks_.begin(), tracks_.end(), Track{});
  std::fill(runs_.begin(), runs_.end(), Run{});
  std::fill(raw_starts_.begin(), raw_starts_.end(), 0);
  changes_.reset();
  decisions_.clear();
  frame_ = 0;
  next_number_ = 1;
  busy_tracks_ = 0;
  alive_runs_ = 0;
  flushed_ = false;
}

const std::vector<Decision>& EventDecoder::process(const float* smoothed, std::int64_t rows) {
  if (flushed_) throw StateError("EventDecoder.process: expected reset() after flush(), got more input");
  require_no_nan(kernels_, smoothed, rows, classes());
  decisions_.clear();
  for (std::int64_t r = 0; r < rows; ++r, smoothed += tracks_.size()) {
    const std::int64_t now = frame_;
    if (changes_.classes() > 0) sustain(smoothed, now);
    step(smoothed, now, nullptr);
    // The hysteresis says by itself when an event begins; a segment is known much later.
    if (changes_.classes() > 0) announce(smoothed, now);
  }
  return decisions_;
}

const std::vector<Decision>& EventDecoder::gap(std::int64_t frames) {
  if (flushed_) throw StateError("EventDecoder.gap: expected reset() after flush(), got a gap");
  require(frames >= 0, "frames", "0 or more lost frames", frames);
  decisions_.clear();
  take_gap(frames);
  return decisions_;
}

const std::vector<Decision>& EventDecoder::flush() {
  if (flushed_) throw StateError("EventDecoder.flush: expected reset() after flush(), got a second flush()");
  decisions_.clear();
  close_all();
  return decisions_;
}

bool EventDecoder::any_reaches(const float* values, const std::vector<float>& thresholds) const {
  unsigned any = 0;
  for (std::size_t k = 0; k < tracks_.size(); ++k) any |= values[k] >= thresholds[k] ? 1U : 0U;
  return any != 0;
}

void EventDecoder::forget_run(std::size_t k) {
  if (runs_[k].tally.frames > 0) --alive_runs_;
  runs_[k] = Run{};
}

void EventDecoder::step(const float* smoothed, std::int64_t now, const std::int64_t* look_ahead) {
  if (busy_tracks_ > 0 || alive_runs_ > 0 || any_reaches(smoothed, settings_.threshold_off)) {
    for (const std::size_t k : hysteresis_) step_track(tracks_[k], k, smoothed[k], now, look_ahead);
  }
  if (changes_.classes() > 0) step_changes(smoothed, now, look_ahead);
  ++frame_;
}

void EventDecoder::step_changes(const float* smoothed, std::int64_t now, const std::int64_t* look_ahead) {
  changes_.push(smoothed, frame_);
  for (std::size_t i = 0; i < changes_.classes(); ++i) {
    const ChangeSettings& settings = changes_.settings(i);
    const std::size_t k = settings.column;
    ChangeDetector::Segment segment;
    while (changes_.next(i, segment)) settle(k, segment, now);
    Track& track = tracks_[k];
    if (track.phase != Phase::announced) continue;
    const std::int64_t wait = 2 * settings.half_step + (look_ahead == nullptr ? 0 : look_ahead[k]);
    if (frame_ >= track.last_hit + wait && !reaches(changes_.level(i), k)) retract(track, k, now);
  }
}

// In the steps that ChangeDetector counts in, so that a constant at the threshold reaches it.
bool EventDecoder::reaches(double posterior, std::size_t k) const {
  return posterior >= std::rint(static_cast<double>(settings_.threshold_on[k]) * kPosteriorSteps) / kPosteriorSteps;
}

void EventDecoder::settle(std::size_t k, const ChangeDetector::Segment& segment, std::int64_t now) {
  Track& track = tracks_[k];
  if (reaches(segment.posterior, k) && segment.offset - segment.onset >= settings_.min_duration[k]) {
    // The class had an earlier event open when this one could have been announced.
    if (track.phase == Phase::idle) open(track, k, segment.onset, segment.posterior, segment.entropy, now);
    raw_starts_[k] = std::max(raw_starts_[k], segment.offset);
    report(track, {DecisionKind::event, track.number, static_cast<std::int32_t>(k), segment.onset, segment.offset,
                   segment.posterior, segment.entropy, segment.spans_gap, segment.truncated, now});
  } else if (track.phase == Phase::announced && track.last_hit < segment.offset) {
    retract(track, k, now);
  }
}

void EventDecoder::end_changes(std::size_t i, std::int64_t now) {
  const std::size_t k = changes_.settings(i).column;
  ChangeDetector::Segment segment;
  while (changes_.next_of_end(i, now + 1, segment)) settle(k, segment, now);
  changes_.begin_anew(i);
  if (tracks_[k].phase == Phase::announced) retract(tracks_[k], k, now);
}

void EventDecoder::step_track(Track& track, std::size_t k, float value, std::int64_t now,
                              const std::int64_t* look_ahead) {
  const bool on = value >= settings_.threshold_on[k];
  Run& run = runs_[k];
  if (value < settings_.threshold_off[k]) {
    forget_run(k);
  } else if (track.phase != Phase::active) {
    if (run.tally.frames == 0) {
      run.start = frame_;
      ++alive_runs_;
    }
    run.tally.add(value);
  }
  switch (track.phase) {
    case Phase::idle:
    case Phase::announced:
      if (on) {
        if (track.phase == Phase::idle) open(track, k, run.start, value, entropy_bits(value), now);
        track.phase = Phase::active;
        track.onset = run.start;
        track.event = run.tally;
        forget_run(k);
      } else if (track.phase == Phase::announced &&
                 (frame_ >= track.last_hit || frame_ >= track.announced + look_ahead[k])) {
        retract(track, k, now);
      }
      return;
    case Phase::active:
      if (value >= settings_.threshold_off[k]) {
        track.event.add(value);
        track.spans_gap = track.spans_gap || track.lost;
        track.lost = false;
        return;
      }
      // Audio that was lost belongs to the pause: the class was last heard before it.
      track.unheard_end = track.lost;
      if (!track.lost) track.offset = frame_;
      track.phase = Phase::pausing;
      track.pause = Tally{};
      break;
    case Phase::pausing:
      if (!on) break;
      track.event.add(track.pause);
      track.event.add(value);
      track.spans_gap = track.spans_gap || track.lost;
      track.lost = track.unheard_end = false;
      track.phase = Phase::active;
      forget_run(k);
      return;
  }
  track.pause.add(value);
  if (frame_ - track.offset + 1 > settings_.min_gap[k]) close(track, k, track.offset, track.unheard_end, now);
}

void EventDecoder::sustain(const float* raw, std::int64_t now) {
  if (busy_tracks_ == 0) return;
  for (std::size_t k = 0; k < tracks_.size(); ++k) {
    if (tracks_[k].phase == Phase::announced && raw[k] >= settings_.threshold_on[k]) tracks_[k].last_hit = now;
  }
}

void EventDecoder::announce(const float* raw, std::int64_t now) {
  for (std::size_t k = 0; k < tracks_.size(); ++k) {
    raw_starts_[k] = raw[k] >= settings_.threshold_off[k] ? raw_starts_[k] : now + 1;
  }
  if (!any_reaches(raw, settings_.threshold_on)) return;
  for (std::size_t k = 0; k < tracks_.size(); ++k) {
    Track& track = tracks_[k];
    if (track.phase != Phase::idle || raw[k] < settings_.threshold_on[k]) continue;
    open(track, k, raw_starts_[k], raw[k], entropy_bits(raw[k]), now);
    track.phase = Phase::announced;
    track.announced = now;
    track.last_hit = now;
  }
}

void EventDecoder::open(Track& track, std::size_t k, std::int64_t onset, double confidence, double uncertainty,
                        std::int64_t now) {
  track = Track{};
  track.number = next_number_++;
  track.onset = onset;
  ++busy_tracks_;
  decisions_.push_back({DecisionKind::onset, track.number, static_cast<std::int32_t>(k), onset, onset, confidence,
                        uncertainty, false, false, now});
}

void EventDecoder::retract(Track& track, std::size_t k, std::int64_t now) {
  decisions_.push_back({DecisionKind::retract, track.number, static_cast<std::int32_t>(k), track.onset, track.onset,
                        0.0, 0.0, false, false, now});
  track = Track{};
  --busy_tracks_;
}

void EventDecoder::close(Track& track, std::size_t k, std::int64_t offset, bool truncated, std::int64_t now) {
  // The next event of the class begins after this one's pause, so that no two are closer than min_gap.
  forget_run(k);
  raw_starts_[k] = std::max(raw_starts_[k], frame_ + 1);
  if (offset - track.onset < settings_.min_duration[k]) {
    retract(track, k, now);
    return;
  }
  const auto n = static_cast<double>(track.event.frames);
  report(track, {DecisionKind::event, track.number, static_cast<std::int32_t>(k), track.onset, offset,
                 track.event.posterior / n, track.event.entropy / n, track.spans_gap, truncated, now});
}

void EventDecoder::report(Track& track, const Decision& event) {
  decisions_.push_back(event);
  track = Track{};
  --busy_tracks_;
}

void EventDecoder::take_gap(std::int64_t frames) {
  if (frames == 0) return;
  const std::int64_t after = frame_ + frames;
  const std::int64_t now = after - 1;
  std::fill(raw_starts_.begin(), raw_starts_.end(), after);
  for (const std::size_t k : hysteresis_) {
    forget_run(k);
    Track& track = tracks_[k];
    if (track.phase == Phase::idle) continue;
    if (track.phase == Phase::announced) {
      retract(track, k, now);
      continue;
    }
    if (track.phase == Phase::active && !track.lost) track.offset = frame_;
    track.lost = true;
    if (after - track.offset > settings_.min_gap[k]) {
      close(track, k, track.offset, track.phase == Phase::active || track.unheard_end, now);
    }
  }
  for (std::size_t i = 0; i < changes_.classes(); ++i) {
    if (after - changes_.heard_until() > settings_.min_gap[changes_.settings(i).column]) end_changes(i, now);
  }
  frame_ = after;
}

void EventDecoder::close_all() {
  flushed_ = true;
  const std::int64_t now = frame_ - 1;
  for (std::size_t i = 0; i < changes_.classes(); ++i) end_changes(i, now);
  for (const std::size_t k : hysteresis_) {
    Track& track = tracks_[k];
    switch (track.phase) {
      case Phase::idle:
        break;
      case Phase::announced:
        retract(track, k, now);
        break;
      case Phase::active:
        close(track, k, track.lost ? track.offset : frame_, track.lost, now);
        break;
      case Phase::pausing:
        close(track, k, track.offset, track.unheard_end, now);
        break;
    }
  }
}

}  // namespace streamsed
