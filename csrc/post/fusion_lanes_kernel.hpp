#pragma once

#include <cstdint>

#include "cuda/stream.hpp"

namespace streamsed {

inline constexpr std::size_t kMostFusedMembers = 64;

// What all lanes share; device pointers.
struct FusionInput {
  const float* posteriors[kMostFusedMembers];   // of each member (lanes, rows, classes)
  const float* confidences[kMostFusedMembers];  // of each member (lanes, rows)
  bool has_confidences;
  std::uint32_t members;
  std::uint32_t classes;
  std::int64_t rows;
};

struct FusionTask {
  float* out;
  // w of each member, then 1 / Σ w.
  const float* weights;
  std::int64_t lane;
  std::uint32_t values;  // rows that count, times classes
};

// First bad ones of a lane, or all ones: see FusionFault.
struct FusionMarks {
  unsigned long long confidence;
  unsigned long long value;
};

inline constexpr std::int64_t kFusionTileValues = 1024;

// Tasks and where their tiles begin, as in cuda::Tiles; `aligned`: everything lies on multiples of 16 bytes.
struct FusionWork {
  const FusionTask* tasks;
  const std::uint32_t* first_tile;
  std::uint32_t count;
  std::uint32_t tiles_each;
  std::uint32_t tiles;
  bool aligned;
};

// Queues the fusion; marks (count) must be all ones before.
void queue_fusion(const FusionInput& input, const FusionWork& work, FusionMarks* marks, const cuda::Stream& stream);

}  // namespace streamsed
