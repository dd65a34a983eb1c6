#include "frontend/log_mel_config.hpp"

#include <cmath>
#include <limits>

#include "base/errors.hpp"

namespace streamsed {

LogMelConfig::LogMelConfig()
    : clamp_min(-std::numeric_limits<double>::infinity()), clamp_max(std::numeric_limits<double>::infinity()) {}

void LogMelConfig::validate() const {
  require(sample_rate >= 1 && sample_rate <= 768000, "sample_rate", "Hz in [1, 768000]", sample_rate);
  require(n_fft >= 4 && n_fft <= (1 << 20) && n_fft % 2 == 0, "n_fft", "an even number in [4, 1048576]", n_fft);
  require(window_length >= 2 && window_length <= n_fft, "window_length", "samples in [2, n_fft]", window_length);
  require(hop_length >= 1 && hop_length <= (1 << 20), "hop_length", "samples in [1, 1048576]", hop_length);
  require(n_mels >= 1 && n_mels <= 4096, "n_mels", "bands in [1, 4096]", n_mels);
  require(std::isfinite(f_min) && f_min >= 0.0, "f_min", "Hz of 0 or more", f_min);
  require(std::isfinite(f_max) && f_max > f_min, "f_max", "Hz above f_min", f_max);
  require(f_max <= 0.5 * sample_rate, "f_max", "Hz of at most sample_rate / 2", f_max);
  require(warp_factor >= 0.5 && warp_factor <= 2.0, "warp_factor", "a factor in [0.5, 2]", warp_factor);
  if (warp_factor != 1.0) {
    require(warp_high_hz > 0.0 && warp_high_hz < 0.5 * sample_rate, "warp_high_hz", "Hz above 0, below sample_rate / 2",
            warp_high_hz);
  }
  require(std::isfinite(floor) && floor >= 1e-37, "floor", "a finite number of at least 1e-37", floor);
  require(!std::isnan(clamp_min) && !std::isnan(clamp_max) && clamp_min < clamp_max, "clamp_min",
          "a number below clamp_max", clamp_min);
  if (normalisation == Normalisation::none) {
    require(mean.empty() && std.empty(), "mean, std", "nothing without normalisation", mean.size());
  } else {
    const bool may_be_absent = normalisation == Normalisation::running;
    const auto n = static_cast<std::size_t>(n_mels);
    const bool fits =
        mean.size() == std.size() && (mean.size() == 1 || mean.size() == n || (may_be_absent && mean.empty()));
    require(fits, "mean, std", "1 or n_mels values each", detail::concat(mean.size(), " and ", std.size()));
    for (const double value : mean) require(std::isfinite(value), "mean", "finite values", value);
    for (const double value : std) require(std::isfinite(value) && value > 0.0, "std", "positive finite values", value);
    require(std::isfinite(running_seconds) && running_seconds > 0.0, "running_seconds", "seconds above 0",
            running_seconds);
  }
}

std::int64_t LogMelConfig::center_padding() const { return center ? n_fft / 2 - (n_fft - window_length) / 2 : 0; }

std::int64_t LogMelConfig::frame_count(std::int64_t samples) const {
  if (center) return samples == 0 ? 0 : 1 + samples / hop_length;
  return samples < window_length ? 0 : 1 + (samples - window_length) / hop_length;
}

}  // namespace streamsed
