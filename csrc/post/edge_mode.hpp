#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

namespace streamsed {

// Continuation of a sequence at both ends, with scipy.ndimage's names: reflect (d c b a | a b c d | d c b a),
// mirror (d c b | a b c d | c b a), nearest (a a a | a b c d | d d d), constant (c c c | a b c d | c c c).
enum class EdgeMode { reflect, mirror, nearest, constant };

EdgeMode edge_mode_from(const std::string& name);

// The index in [0, length) that stands for `index`, or -1 for the constant. length >= 1.
constexpr std::int64_t edge_index(std::int64_t index, std::int64_t length, EdgeMode mode) {
  if (index >= 0 && index < length) return index;
  switch (mode) {
    case EdgeMode::constant:
      return -1;
    case EdgeMode::nearest:
      return std::clamp<std::int64_t>(index, 0, length - 1);
    case EdgeMode::mirror: {
      if (length == 1) return 0;
      const std::int64_t period = 2 * (length - 1);
      const std::int64_t at = (index % period + period) % period;
      return std::min(at, period - at);
    }
    case EdgeMode::reflect:
      break;
  }
  const std::int64_t period = 2 * length;
  const std::int64_t at = (index % period + period) % period;
  return std::min(at, period - 1 - at);
}

}  // namespace streamsed
