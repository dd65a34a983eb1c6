#pragma once

#include <cmath>

namespace streamsed {

// Normalised binary entropy: 0 for a sure posterior, 1 for a coin toss.
inline double entropy_bits(double p) {
  if (p <= 0.0 || p >= 1.0) return 0.0;
  return -(p * std::log2(p) + (1.0 - p) * std::log2(1.0 - p));
}

}  // namespace streamsed
