#include "audio/signal_monitor.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/errors.hpp"

namespace streamsed {
namespace {

constexpr double silence_seconds = 2.0;
constexpr double dc_on = 0.05;
constexpr double dc_off = 0.02;
constexpr double dc_seconds = 1.0;
constexpr double dc_recovery_seconds = 5.0;
constexpr double recovery_seconds = 1.0;

struct Levels {
  float peak;  // NaN where there is one
  double mean;
};

// Without their sign, the bits of floats are in the order of the floats, with Inf and then NaN behind all of them: one
// maximum of integers finds the peak and whatever cannot be used.
Levels levels_of(const float* samples, std::int64_t count) {
  constexpr int lanes = 8;  // a sum that does not wait for the one before it
  std::uint32_t peak = 0;
  double sums[lanes] = {};
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (int lane = 0; lane < lanes; ++lane) {
      const float value = samples[i + lane];
      peak = std::max(peak, std::bit_cast<std::uint32_t>(value) & 0x7fffffffU);
      sums[lane] += static_cast<double>(value);
    }
  }
  for (; i < count; ++i) {
    peak = std::max(peak, std::bit_cast<std::uint32_t>(samples[i]) & 0x7fffffffU);
    sums[0] += static_cast<double>(samples[i]);
  }
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return {std::bit_cast<float>(peak), total / static_cast<double>(count)};
}

bool is_usable(float value) { return std::abs(value) <= static_cast<float>(SignalMonitor::max_level); }
bool is_clipped(float value) { return std::abs(value) >= static_cast<float>(SignalMonitor::clipping_level); }

}  // namespace

SignalMonitor::SignalMonitor(std::int64_t sample_rate) : rate_(static_cast<double>(sample_rate)) {
  require(sample_rate > 0, "sample_rate", "> 0", sample_rate);
}

const float* SignalMonitor::process(const float* samples, std::int64_t frames, int channels, std::int64_t position) {
  require(frames > 0, "samples", "one frame or more", frames);
  findings_.clear();
  Levels levels = levels_of(samples, frames * channels);
  if (!is_usable(levels.peak)) {
    samples = replace_unusable(samples, frames, channels, position);
    levels = levels_of(samples, frames * channels);
  }
  if (is_clipped(levels.peak)) watch_clipping(samples, frames, channels, position);
  watch_silence(samples, frames, channels, position, levels.peak > 0.0F);
  watch_mean(levels.mean, frames, position);
  return samples;
}

void SignalMonitor::gap() {
  zeros_from_.reset();
  silence_said_ = false;
}

const float* SignalMonitor::replace_unusable(const float* samples, std::int64_t frames, int channels,
                                             std::int64_t position) {
  const std::int64_t count = frames * channels;
  replaced_.assign(samples, samples + count);
  std::int64_t first = -1;
  for (std::int64_t i = 0; i < count; ++i) {
    float& value = replaced_[static_cast<std::size_t>(i)];
    if (is_usable(value)) continue;
    if (first < 0) first = i / channels;
    value = 0.0F;
    ++non_finite_samples_;
  }
  say_once(SignalCondition::non_finite, position + first, last_non_finite_);
  return replaced_.data();
}

void SignalMonitor::watch_clipping(const float* samples, std::int64_t frames, int channels, std::int64_t position) {
  std::int64_t first = -1;
  std::int64_t clipped = 0;
  for (std::int64_t frame = 0; frame < frames; ++frame) {
    const float* values = samples + frame * channels;
    if (!std::any_of(values, values + channels, is_clipped)) continue;
    if (first < 0) first = frame;
    ++clipped;
  }
  if (clipped >= clipping_samples) say_once(SignalCondition::clipping, position + first, last_clipping_);
}

void SignalMonitor::watch_silence(const float* samples, std::int64_t frames, int channels, std::int64_t position,
                                  bool has_sound) {
  if (has_sound) {
    std::int64_t last = frames * channels - 1;
    while (samples[last] == 0.0F) --last;
    zeros_from_ = position + last / channels + 1;
    silence_said_ = false;
  } else if (!zeros_from_) {
    zeros_from_ = position;
  }
  const std::int64_t zeros = position + frames - *zeros_from_;
  if (!silence_said_ && static_cast<double>(zeros) >= silence_seconds * rate_) {
    silence_said_ = true;
    findings_.push_back({SignalCondition::digital_silence, *zeros_from_});
  }
}

void SignalMonitor::watch_mean(double mean, std::int64_t frames, std::int64_t position) {
  const double share = 1.0 - std::exp(-static_cast<double>(frames) / (dc_seconds * rate_));
  mean_ += share * (mean - mean_);
  const double size = std::abs(mean_);
  if (!dc_until_) {
    if (size < dc_on) return;
    dc_until_ = position;
    findings_.push_back({SignalCondition::dc, position});
  } else if (size >= dc_off) {
    dc_until_ = position;
  } else if (static_cast<double>(position - *dc_until_) > dc_recovery_seconds * rate_) {
    dc_until_.reset();
  }
}

void SignalMonitor::say_once(SignalCondition condition, std::int64_t position, std::optional<std::int64_t>& last_seen) {
  if (!last_seen || static_cast<double>(position - *last_seen) > recovery_seconds * rate_) {
    findings_.push_back({condition, position});
  }
  last_seen = position;
}

}  // namespace streamsed
