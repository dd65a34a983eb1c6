// Medians of lanes. Bytes moved at least, of L lanes with T new rows of K classes each: 4 L K (2 T + min(T, 2 R) + 2
// R), in, out, and the 2 R rows of history read and, as far as they are new, written; 8 L K T for T >> R.

#include <array>
#include <utility>

#include "cuda/kernel.hpp"
#include "cuda/tiles.hpp"
#include "post/kernels.hpp"
#include "post/median_lanes_kernel.hpp"
#include "post/median_network.hpp"

namespace streamsed {
namespace {

constexpr int kBlock = 256;
constexpr int kWarp = 32;
constexpr float kInfinity = __builtin_huge_valf();
constexpr unsigned kWholeWarp = 0xFFFFFFFFU;

// Value of a class in the row that is `row` rows behind the last old one: rows before the first and behind the last
// continue the sequence.
__device__ __forceinline__ float value_at(const MedianTask& task, const MedianSettings& settings, std::int64_t row,
                                          int k) {
  if (row < -task.taken || row >= task.rows) {
    const std::int64_t frame = edge_index(task.taken + row, task.taken + task.rows, settings.mode);
    if (frame < 0) return settings.cval;
    row = frame - task.taken;
  }
  if (row >= 0) return task.in[row * settings.classes + k];
  std::int64_t slot = task.taken_slot + row;
  if (slot < 0) slot += settings.kept;
  return task.history[slot * settings.classes + k];
}

__device__ __forceinline__ void find_nan(const MedianTask& task, const MedianSettings& settings, int row, int k,
                                         unsigned long long* bad) {
  if (row >= task.rows) return;
  const std::int64_t at = std::int64_t{row} * settings.classes + k;
  if (isnan(task.in[at])) atomicMin(bad, static_cast<unsigned long long>(at));
}

template <class Network, std::size_t I, std::size_t N>
__device__ __forceinline__ void exchange(float (&v)[N]) {
  constexpr CompareExchange step = Network::at(I);
  const float a = v[step.low];
  const float b = v[step.high];
  if constexpr (step.need_low) v[step.low] = fminf(a, b);
  if constexpr (step.need_high) v[step.high] = fmaxf(a, b);
}

template <class Network, std::size_t N, std::size_t... I>
__device__ __forceinline__ void exchange_all(float (&v)[N], std::index_sequence<I...>) {
  (exchange<Network, I>(v), ...);
}

// The two middle values of an even number of values, of which all but two have the middle values a <= b <= c <= d (with
// infinities for those that are not there), and x and y are the two: ranks 3 and 4 of six by the selection of two
// sorted sequences.
struct Middle {
  float low;
  float high;
};
__device__ __forceinline__ Middle middle_of(const float (&m)[4], float v, float w) {
  const float x = fminf(v, w);
  const float y = fmaxf(v, w);
  return {fminf(m[2], fminf(fmaxf(m[1], x), fmaxf(m[0], y))), fminf(m[3], fminf(fmaxf(m[2], x), fmaxf(m[1], y)))};
}

// Four medians of Width from Width + 3 values. The Width - 3 that all windows share are looked at once, and of those
// only the four middle ones: none of the others can be a median, whatever the three to come.
template <int Width>
__device__ __forceinline__ void four_medians(const float (&window)[Width + 3], float (&out)[4]) {
  if constexpr (Width == 1) {
    for (int i = 0; i < 4; ++i) out[i] = window[i];
  } else {
    constexpr int kShared = Width - 3;
    float shared[kShared > 0 ? kShared : 1];
#pragma unroll
    for (int i = 0; i < kShared; ++i) shared[i] = window[i + 3];
    float m[4] = {-kInfinity, -kInfinity, kInfinity, kInfinity};
    if constexpr (kShared == 2) {
      m[1] = fminf(shared[0], shared[1]);
      m[2] = fmaxf(shared[0], shared[1]);
    } else if constexpr (kShared > 2) {
      using Network = SelectionNetwork<kShared, kShared / 2 - 2, 4>;
      exchange_all<Network>(shared, std::make_index_sequence<Network::count()>{});
#pragma unroll
      for (int i = 0; i < 4; ++i) m[i] = shared[kShared / 2 - 2 + i];
    }
    const Middle first = middle_of(m, window[1], window[2]);
    const Middle second = middle_of(m, window[Width], window[Width + 1]);
    out[0] = fminf(fmaxf(window[0], first.low), first.high);
    out[1] = fminf(fmaxf(window[Width], first.low), first.high);
    out[2] = fminf(fmaxf(window[2], second.low), second.high);
    out[3] = fminf(fmaxf(window[Width + 2], second.low), second.high);
  }
}

// A thread has four rows of a class, and neighbouring threads neighbouring classes: each load of a warp is of few rows.
template <int Width>
__global__ void __launch_bounds__(kBlock) median_kernel(const MedianTask* tasks, cuda::Tiles tiles, MedianGroup group,
                                                        MedianSettings settings, unsigned long long* bad) {
  const cuda::Tile tile = tiles.locate(blockIdx.x);
  const MedianTask& task = tasks[tile.chunk];
  const std::uint32_t item = tile.number * kBlock + threadIdx.x;
  const auto classes = static_cast<std::uint32_t>(group.count);
  const auto first_row = static_cast<int>(item / classes * kMedianRowsPerItem);
  if (first_row >= max(task.rows, task.rows_out)) return;
  const int k = group.classes[item % classes];
#pragma unroll
  for (int i = 0; i < 4; ++i) find_nan(task, settings, first_row + i, k, bad + tile.chunk);
  if (first_row >= task.rows_out) return;

  float window[Width + 3];
  const std::int64_t first = std::int64_t{task.first_out} + first_row - Width / 2;
  if (first >= 0 && first + Width + 3 <= task.rows) {
    const float* from = task.in + first * settings.classes + k;
#pragma unroll
    for (int i = 0; i < Width + 3; ++i) window[i] = from[std::int64_t{i} * settings.classes];
  } else {
#pragma unroll
    for (int i = 0; i < Width + 3; ++i) window[i] = value_at(task, settings, first + i, k);
  }
  float medians[4];
  four_medians<Width>(window, medians);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    // Adding +0 makes both zeros +0, as on the CPU.
    if (first_row + i < task.rows_out) {
      task.out[std::int64_t{first_row + i} * settings.classes + k] = __fadd_rn(medians[i], 0.0F);
    }
  }
}

// Orders floats as unsigned numbers.
__device__ __forceinline__ unsigned key_of(float value) {
  const unsigned bits = __float_as_uint(__fadd_rn(value, 0.0F));
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}
__device__ __forceinline__ float value_of(unsigned key) {
  return __uint_as_float((key & 0x80000000U) != 0 ? key & 0x7FFFFFFFU : ~key);
}

// A warp finds the median of one window bit by bit, from the highest: how many of those that agree so far have a 0 says
// on which side it is. Keys that fit stay in Registers of each thread.
template <int Registers>
__global__ void __launch_bounds__(kBlock, 4)
    wide_median_kernel(const MedianTask* tasks, cuda::Tiles tiles, MedianGroup group, MedianSettings settings,
                       unsigned long long* bad) {
  const cuda::Tile tile = tiles.locate(blockIdx.x);
  const MedianTask& task = tasks[tile.chunk];
  const std::uint32_t item = tile.number * static_cast<std::uint32_t>(kWideMedianTileItems) + threadIdx.x / kWarp;
  const auto lane = static_cast<int>(threadIdx.x % kWarp);
  const auto classes = static_cast<std::uint32_t>(group.count);
  const auto row = static_cast<int>(item / classes);
  if (row >= max(task.rows, task.rows_out)) return;
  const int k = group.classes[item % classes];
  if (lane == 0) find_nan(task, settings, row, k, bad + tile.chunk);
  if (row >= task.rows_out) return;

  const int width = group.width;
  const std::int64_t first = std::int64_t{task.first_out} + row - width / 2;
  unsigned held[Registers > 0 ? Registers : 1];
#pragma unroll
  for (int i = 0; i < Registers; ++i) {
    const int j = lane + i * kWarp;
    held[i] = j < width ? key_of(value_at(task, settings, first + j, k)) : 0;
  }
  unsigned known = 0;
  int rank = width / 2;
  for (int bit = 31; bit >= 0; --bit) {
    int zeros = 0;
    if constexpr (Registers > 0) {
#pragma unroll
      for (int i = 0; i < Registers; ++i) {
        const bool counts = lane + i * kWarp < width && (held[i] ^ known) >> bit == 0;
        zeros += __popc(__ballot_sync(kWholeWarp, counts));
      }
    } else {
      for (int start = 0; start < width; start += kWarp) {
        const int j = start + lane;
        const bool counts = j < width && (key_of(value_at(task, settings, first + j, k)) ^ known) >> bit == 0;
        zeros += __popc(__ballot_sync(kWholeWarp, counts));
      }
    }
    if (rank >= zeros) {
      rank -= zeros;
      known |= 1U << bit;
    }
  }
  if (lane == 0) task.out[std::int64_t{row} * settings.classes + k] = value_of(known);
}

__global__ void __launch_bounds__(kBlock, 4)
    history_kernel(const MedianTask* tasks, MedianSettings settings, const unsigned long long* bad) {
  const MedianTask task = tasks[blockIdx.x];
  if (bad[blockIdx.x] != ~0ULL) return;
  // The rows that stay are a run of the ring from the slot of the first of them on.
  const std::int32_t rows = min(task.rows, settings.kept);
  const std::int32_t first = task.rows - rows;
  const auto first_slot = static_cast<std::int32_t>((std::int64_t{task.taken_slot} + first) % settings.kept);
  const std::int32_t values = rows * settings.classes;
  const std::int32_t before_end = min(values, (settings.kept - first_slot) * settings.classes);
  const float* from = task.in + std::int64_t{first} * settings.classes;
  float* to = task.history + std::int64_t{first_slot} * settings.classes;
  for (std::int32_t i = static_cast<std::int32_t>(threadIdx.x); i < before_end; i += kBlock) to[i] = from[i];
  for (std::int32_t i = before_end + static_cast<std::int32_t>(threadIdx.x); i < values; i += kBlock) {
    task.history[i - before_end] = from[i];
  }
}

using MedianKernel = void (*)(const MedianTask*, cuda::Tiles, MedianGroup, MedianSettings, unsigned long long*);

template <std::size_t... I>
constexpr std::array<MedianKernel, sizeof...(I)> by_width(std::index_sequence<I...>) {
  return {&median_kernel<2 * static_cast<int>(I) + 1>...};
}

MedianKernel kernel_of(int width) {
  static const auto narrow = by_width(std::make_index_sequence<(kMaxNetworkWidth + 1) / 2>{});
  if (width <= kMaxNetworkWidth) return narrow[static_cast<std::size_t>(width / 2)];
  if (width <= 2 * 32) return &wide_median_kernel<2>;
  if (width <= 8 * 32) return &wide_median_kernel<8>;
  return &wide_median_kernel<0>;
}

}  // namespace

void queue_medians(const MedianTask* tasks, std::uint32_t count, const MedianGroup& group,
                   const MedianSettings& settings, unsigned long long* bad, const cuda::Stream& stream) {
  if (group.tiles == 0) return;
  cuda::launch(kernel_of(group.width), group.tiles, kBlock, 0, stream, tasks,
               cuda::Tiles{group.first_tile, count, group.tiles_each}, group, settings, bad);
}

void queue_history(const MedianTask* tasks, std::uint32_t count, const MedianSettings& settings,
                   const unsigned long long* bad, const cuda::Stream& stream) {
  if (count == 0) return;
  cuda::launch(&history_kernel, count, kBlock, 0, stream, tasks, settings, bad);
}

}  // namespace streamsed
