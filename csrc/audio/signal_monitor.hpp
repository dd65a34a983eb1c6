#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace streamsed {

enum class SignalCondition { non_finite, clipping, digital_silence, dc };

struct SignalFinding {
  SignalCondition condition;
  std::int64_t position;
};

// Watches one signal step by step and finds each condition once per episode; what they mean is documented where Python
// makes records of them (streamsed.health.SignalMonitor).
class SignalMonitor {
 public:
  // Squares of larger values add up to Inf in float32; no sound has them.
  static constexpr double max_level = 1e6;
  static constexpr double clipping_level = 0.999;
  static constexpr std::int64_t clipping_samples = 3;

  explicit SignalMonitor(std::int64_t sample_rate);

  // One step: `frames` > 0 frames of `channels` values, the first of which has number `position`, lost ones counted.
  // Returns the values to go on with: `samples`, or, where some cannot be used, a copy with 0 in their place that is
  // valid until the next call.
  const float* process(const float* samples, std::int64_t frames, int channels, std::int64_t position);

  // Begins anew after lost audio: zeros before and after it are not one silence.
  void gap();

  // Of the newest step.
  const std::vector<SignalFinding>& findings() const { return findings_; }
  std::int64_t non_finite_samples() const { return non_finite_samples_; }

 private:
  const float* replace_unusable(const float* samples, std::int64_t frames, int channels, std::int64_t position);
  void watch_clipping(const float* samples, std::int64_t frames, int channels, std::int64_t position);
  void watch_silence(const float* samples, std::int64_t frames, int channels, std::int64_t position, bool has_sound);
  void watch_mean(double mean, std::int64_t frames, std::int64_t position);
  void say_once(SignalCondition condition, std::int64_t position, std::optional<std::int64_t>& last_seen);

  double rate_;
  std::vector<SignalFinding> findings_;
  std::vector<float> replaced_;
  std::int64_t non_finite_samples_ = 0;
  std::optional<std::int64_t> last_non_finite_;
  std::optional<std::int64_t> last_clipping_;
  std::optional<std::int64_t> zeros_from_ = 0;
  bool silence_said_ = false;
  double mean_ = 0.0;
  std::optional<std::int64_t> dc_until_;  // when it was last too large to be over
};

}  // namespace streamsed
