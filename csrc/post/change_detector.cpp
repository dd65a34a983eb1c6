#include "post/change_detector.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/errors.hpp"
#include "post/entropy.hpp"

namespace streamsed {
namespace {

std::uint64_t units(double value) { return static_cast<std::uint64_t>(std::lrint(value * kPosteriorSteps)); }

}  // namespace

ChangeDetector::ChangeDetector(const std::vector<ChangeSettings>& settings) {
  std::int64_t longest = 1;
  for (const ChangeSettings& item : settings) {
    require(item.half_step >= 1, "half_step", "frames of 1 or more", item.half_step);
    require(item.merge_absolute > 0.0 && item.merge_absolute <= 1.0, "merge_absolute", "in (0, 1]",
            item.merge_absolute);
    require(item.merge_relative >= 1.0 && std::isfinite(item.merge_relative), "merge_relative", "1 or more",
            item.merge_relative);
    longest = std::max(longest, item.half_step);
    tracks_.push_back({item});
  }
  // Judging looks one half back and two ahead.
  const auto boundaries = std::bit_ceil(static_cast<std::uint64_t>(3 * longest + 2));
  mask_ = static_cast<std::int64_t>(boundaries) - 1;
  posterior_.resize(boundaries * tracks_.size());
  entropy_.resize(boundaries * tracks_.size());
  frames_.resize(boundaries);
}

void ChangeDetector::reset() {
  taken_ = 0;
  std::fill(posterior_.begin(), posterior_.end(), 0);
  std::fill(entropy_.begin(), entropy_.end(), 0);
  for (std::size_t i = 0; i < tracks_.size(); ++i) begin_anew(i);
}

void ChangeDetector::begin_anew(std::size_t i) {
  Track& track = tracks_[i];
  track.origin = track.start = track.next = taken_;
  track.after_silence = true;
  track.start_posterior = posterior_at(taken_, i);
  track.start_entropy = entropy_at(taken_, i);
}

void ChangeDetector::push(const float* row, std::int64_t frame) {
  const std::uint64_t* posterior = &posterior_[static_cast<std::size_t>(taken_ & mask_) * tracks_.size()];
  const std::uint64_t* entropy = &entropy_[static_cast<std::size_t>(taken_ & mask_) * tracks_.size()];
  frames_[static_cast<std::size_t>(taken_ & mask_)] = frame;
  const auto behind = static_cast<std::size_t>((taken_ + 1) & mask_) * tracks_.size();
  for (std::size_t i = 0; i < tracks_.size(); ++i) {
    Track& track = tracks_[i];
    if (track.start == taken_) track.start_frame = frame;
    const auto value = static_cast<double>(std::clamp(row[track.settings.column], 0.0F, 1.0F));
    posterior_[behind + i] = posterior[i] + units(value);
    entropy_[behind + i] = entropy[i] + units(entropy_bits(value));
  }
  ++taken_;
}

std::int64_t ChangeDetector::sum(const Track& track, std::size_t i, std::int64_t from, std::int64_t to) const {
  const std::int64_t first = std::clamp(from, track.origin, taken_);
  const std::int64_t last = std::clamp(to, track.origin, taken_);
  return static_cast<std::int64_t>(posterior_at(last, i) - posterior_at(first, i));
}

// A segment is taken to last half a step at least, as the step filter cannot tell its level from less.
double ChangeDetector::level(const Track& track, std::size_t i) const {
  const std::int64_t half = track.settings.half_step;
  const std::int64_t start = track.after_silence ? track.start - half : track.start;
  const std::int64_t end = std::max(track.next, start + half);
  const std::uint64_t total = posterior_at(std::min(end, taken_), i) - track.start_posterior;
  return static_cast<double>(total) / static_cast<double>(end - start);
}

double ChangeDetector::level(std::size_t i) const { return level(tracks_[i], i) / kPosteriorSteps; }

int ChangeDetector::change(const Track& track, std::size_t i) const {
  const std::int64_t half = track.settings.half_step;
  const double before = level(track, i);
  const double behind = static_cast<double>(sum(track, i, track.next, track.next + half)) / static_cast<double>(half);
  const double high = std::max(before, behind);
  const double low = std::min(before, behind);
  if (high - low < track.settings.merge_absolute * kPosteriorSteps || high < track.settings.merge_relative * low)
    return 0;
  return behind > before ? 1 : -1;
}

// The extremum of the step filter's output within half a step from the judged boundary on; the first of equals.
std::int64_t ChangeDetector::steepest(const Track& track, std::size_t i, int direction) const {
  const std::int64_t half = track.settings.half_step;
  std::int64_t best = track.next;
  std::int64_t largest = std::numeric_limits<std::int64_t>::min();
  for (std::int64_t at = track.next; at <= std::min(track.next + half, taken_); ++at) {
    const std::int64_t step = direction * (sum(track, i, at, at + half) - sum(track, i, at - half, at));
    if (step > largest) {
      largest = step;
      best = at;
    }
  }
  return best;
}

bool ChangeDetector::search(std::size_t i, std::int64_t last, std::int64_t next_frame, Segment& segment) {
  Track& track = tracks_[i];
  while (track.next <= last) {
    const int direction = change(track, i);
    if (direction == 0) {
      ++track.next;
    } else if (cut(i, steepest(track, i, direction), next_frame, segment)) {
      return true;
    }
  }
  return false;
}

bool ChangeDetector::next(std::size_t i, Segment& segment) {
  // Every row that a judgement could need is there, so that the end of the stream does not show.
  return search(i, taken_ - 2 * tracks_[i].settings.half_step, 0, segment);
}

bool ChangeDetector::next_of_end(std::size_t i, std::int64_t next_frame, Segment& segment) {
  return search(i, taken_, next_frame, segment) || cut(i, taken_, next_frame, segment);
}

// Returns whether there is anything before the boundary.
bool ChangeDetector::cut(std::size_t i, std::int64_t boundary, std::int64_t next_frame, Segment& segment) {
  Track& track = tracks_[i];
  const std::int64_t rows = boundary - track.start;
  const std::uint64_t posterior = posterior_at(boundary, i) - track.start_posterior;
  const std::uint64_t entropy = entropy_at(boundary, i) - track.start_entropy;
  const std::int64_t following = boundary < taken_ ? frame_of(boundary) : next_frame;
  if (rows > 0) {
    const std::int64_t offset = frame_of(boundary - 1) + 1;
    const double scale = kPosteriorSteps * static_cast<double>(rows);
    segment = {track.start_frame,
               offset,
               static_cast<double>(posterior) / scale,
               static_cast<double>(entropy) / scale,
               offset - track.start_frame != rows,
               following != offset};
  }
  track.start = boundary;
  track.next = boundary + 1;
  track.after_silence = false;
  track.start_posterior += posterior;
  track.start_entropy += entropy;
  track.start_frame = following;
  return rows > 0;
}

}  // namespace streamsed
