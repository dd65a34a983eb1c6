#pragma once

#include <cstdint>

namespace streamsed {

// Where the values of a call lie: ordinary memory, memory that a device copies from without a detour, or a device's.
enum class Memory { host, pinned, device };

// What one lane (one stream among many that are handled together) gets in a call and where its outputs go.
struct LaneChunk {
  int lane;
  const float* in;
  std::int64_t count;  // of samples, or of rows
  float* out;          // room for what these inputs complete
  // Set by the call: index of the first value that cannot be used, or -1. Then this lane is as it was before the call,
  // its outputs mean nothing, and the other lanes have gone on.
  std::int64_t bad = -1;
};

}  // namespace streamsed
