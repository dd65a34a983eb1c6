#pragma once

#include <cstdint>

#include "cuda/stream.hpp"
#include "post/edge_mode.hpp"

namespace streamsed {

// One lane's share of a call as the kernels see it: `rows` new rows behind `taken` old ones, of which `history` holds
// the last ones: row f at f mod kept.
struct MedianTask {
  const float* in;
  float* out;
  float* history;
  std::int64_t taken;
  std::int32_t taken_slot;  // taken mod kept
  std::int32_t rows;
  std::int32_t first_out;  // frame of the first row out, less `taken`
  std::int32_t rows_out;
};

// Classes of one width, and the tiles that each of the tasks has for them.
struct MedianGroup {
  const std::int32_t* classes;
  std::int32_t count;
  std::int32_t width;
  const std::uint32_t* first_tile;  // (tasks + 1,), the last one being how many there are
  std::uint32_t tiles_each;         // if all tasks have the same number, otherwise 0
  std::uint32_t tiles;
};

struct MedianSettings {
  std::int32_t classes;
  std::int32_t kept;  // rows of a history: twice the reach of the widest window, at least 1
  EdgeMode mode;
  float cval;
};

// Items that a tile has: of the rows of a task, so many at a time count as one for each class of the group.
inline constexpr std::int64_t kMedianTileItems = 256;
inline constexpr std::int64_t kMedianRowsPerItem = 4;
// Wider windows have one warp for each row and class.
inline constexpr std::int64_t kWideMedianTileItems = 8;

// Queues the medians of a group. bad (tasks): the smallest index of a NaN among the new rows goes there, which must be
// all ones before. Device pointers.
void queue_medians(const MedianTask* tasks, std::uint32_t count, const MedianGroup& group,
                   const MedianSettings& settings, unsigned long long* bad, const cuda::Stream& stream);

// Queues that the histories take in the new rows of tasks without a bad one.
void queue_history(const MedianTask* tasks, std::uint32_t count, const MedianSettings& settings,
                   const unsigned long long* bad, const cuda::Stream& stream);

}  // namespace streamsed
