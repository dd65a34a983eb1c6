// Fusion of lanes. Bytes moved at least, of L lanes with T rows of K classes and M members: 4 L T (K (M + 1) + M), or
// 4 L T K (M + 1) without confidences. Products and sums are rounded one by one in the order of the members, as on the
// CPU.

#include "cuda/kernel.hpp"
#include "cuda/tiles.hpp"
#include "post/fusion_lanes_kernel.hpp"
#include "post/kernels.hpp"

namespace streamsed {
namespace {

constexpr int kBlock = 256;

// Shares of the members in one row: w c / Σ w c, or w / Σ w where Σ w c vanishes. Members is how many there are, or 0
// where that is known only when it runs; then confidences are read once more rather than kept.
template <int Members>
class Shares {
 public:
  __device__ Shares(const FusionInput& input, const FusionTask& task, std::uint32_t row, FusionMarks* mark)
      : input_(input), weights_(task.weights), at_(task.lane * input.rows + row) {
    plain_ = true;
    scale_ = weights_[members()];
    if (!input.has_confidences) return;
    float total = 0.0F;
#pragma unroll
    for (int m = 0; m < members(); ++m) {
      const float confidence = input.confidences[m][at_];
      if (!(confidence >= 0.0F && isfinite(confidence))) {
        atomicMin(&mark->confidence, static_cast<unsigned long long>(m * input.rows + row));
      }
      const float weighted = __fmul_rn(weights_[m], confidence);
      if constexpr (Members > 0) held_[m] = weighted;
      total = __fadd_rn(total, weighted);
    }
    if (total < kLeastConfidence) return;
    plain_ = false;
    scale_ = __fdiv_rn(1.0F, total);
  }

  __device__ __forceinline__ int members() const { return Members > 0 ? Members : static_cast<int>(input_.members); }

  __device__ __forceinline__ float of(int m) const {
    if (plain_) return __fmul_rn(weights_[m], scale_);
    if constexpr (Members > 0) {
      return __fmul_rn(held_[m], scale_);
    } else {
      return __fmul_rn(__fmul_rn(weights_[m], input_.confidences[m][at_]), scale_);
    }
  }

 private:
  const FusionInput& input_;
  const float* weights_;
  std::int64_t at_;
  bool plain_;
  float scale_;
  float held_[Members > 0 ? Members : 1];
};

__device__ __forceinline__ void mark_value(float value, std::uint32_t at, FusionMarks* mark) {
  if (!isfinite(value)) atomicMin(&mark->value, static_cast<unsigned long long>(at));
}

// Values [at, at + 4) of an array whose last ones that count come before `end`.
struct Four {
  float v[4];

  __device__ Four(const float* from, std::uint32_t at, std::uint32_t end) {
    if (at + 4 <= end) {
      const float4 four = *reinterpret_cast<const float4*>(from + at);
      v[0] = four.x;
      v[1] = four.y;
      v[2] = four.z;
      v[3] = four.w;
      return;
    }
#pragma unroll
    for (std::uint32_t j = 0; j < 4; ++j) v[j] = at + j < end ? from[at + j] : 0.0F;
  }
  __device__ Four() : v{0.0F, 0.0F, 0.0F, 0.0F} {}
};

// Four neighbouring values a thread, in one load of each member; they are of two rows at most.
template <int Members>
__global__ void __launch_bounds__(kBlock) fuse_four_kernel(const __grid_constant__ FusionInput input, cuda::Tiles tiles,
                                                           const FusionTask* tasks, FusionMarks* marks) {
  const cuda::Tile tile = tiles.locate(blockIdx.x);
  const FusionTask& task = tasks[tile.chunk];
  const std::uint32_t first = tile.number * static_cast<std::uint32_t>(kFusionTileValues) + threadIdx.x * 4;
  const std::uint32_t end = task.values;
  if (first >= end) return;
  const std::int64_t offset = task.lane * input.rows * input.classes;
  // All loads are under way before the first result is needed.
  Four values[Members > 0 ? Members : 1];
  if constexpr (Members > 0) {
#pragma unroll
    for (int m = 0; m < Members; ++m) values[m] = Four(input.posteriors[m] + offset, first, end);
  }
  FusionMarks* const mark = marks + tile.chunk;
  const std::uint32_t row = first / input.classes;
  const std::uint32_t last_row = min(first + 3, end - 1) / input.classes;
  // Values from this one on are of the second row.
  const std::uint32_t boundary = (row + 1) * input.classes - first;
  const Shares<Members> here(input, task, row, mark);
  const Shares<Members> next(input, task, last_row, mark);
  Four sum;
#pragma unroll
  for (int m = 0; m < here.members(); ++m) {
    if constexpr (Members == 0) values[0] = Four(input.posteriors[m] + offset, first, end);
    const Four& value = values[Members > 0 ? m : 0];
    const float share = here.of(m);
    const float next_share = next.of(m);
#pragma unroll
    for (std::uint32_t j = 0; j < 4; ++j) {
      const float part = __fmul_rn(j < boundary ? share : next_share, value.v[j]);
      sum.v[j] = m == 0 ? part : __fadd_rn(sum.v[j], part);
    }
  }
  if (first + 4 <= end) {
    *reinterpret_cast<float4*>(task.out + first) = make_float4(sum.v[0], sum.v[1], sum.v[2], sum.v[3]);
  } else {
#pragma unroll
    for (std::uint32_t j = 0; j < 4; ++j) {
      if (first + j < end) task.out[first + j] = sum.v[j];
    }
  }
#pragma unroll
  for (std::uint32_t j = 0; j < 4; ++j) {
    if (first + j < end) mark_value(sum.v[j], first + j, mark);
  }
}

// For any alignment and number of classes.
template <int Members>
__global__ void __launch_bounds__(kBlock) fuse_kernel(const __grid_constant__ FusionInput input, cuda::Tiles tiles,
                                                      const FusionTask* tasks, FusionMarks* marks) {
  const cuda::Tile tile = tiles.locate(blockIdx.x);
  const FusionTask& task = tasks[tile.chunk];
  FusionMarks* const mark = marks + tile.chunk;
  const std::int64_t offset = task.lane * input.rows * input.classes;
  const std::uint32_t begin = tile.number * static_cast<std::uint32_t>(kFusionTileValues);
  const std::uint32_t end = min(task.values, begin + static_cast<std::uint32_t>(kFusionTileValues));
  for (std::uint32_t i = begin + threadIdx.x; i < end; i += kBlock) {
    const Shares<Members> shares(input, task, i / input.classes, mark);
    float sum = __fmul_rn(shares.of(0), input.posteriors[0][offset + i]);
#pragma unroll
    for (int m = 1; m < shares.members(); ++m) {
      sum = __fadd_rn(sum, __fmul_rn(shares.of(m), input.posteriors[m][offset + i]));
    }
    task.out[i] = sum;
    mark_value(sum, i, mark);
  }
}

template <int Members>
void queue(const FusionInput& input, const FusionWork& work, FusionMarks* marks, const cuda::Stream& stream) {
  // Fewer classes have more than two rows in four values.
  const bool four = work.aligned && input.classes >= 4;
  cuda::launch(four ? &fuse_four_kernel<Members> : &fuse_kernel<Members>, work.tiles, kBlock, 0, stream, input,
               cuda::Tiles{work.first_tile, work.count, work.tiles_each}, work.tasks, marks);
}

}  // namespace

void queue_fusion(const FusionInput& input, const FusionWork& work, FusionMarks* marks, const cuda::Stream& stream) {
  if (work.tiles == 0) return;
  switch (input.members) {
    case 1:
      return queue<1>(input, work, marks, stream);
    case 2:
      return queue<2>(input, work, marks, stream);
    case 3:
      return queue<3>(input, work, marks, stream);
    case 4:
      return queue<4>(input, work, marks, stream);
    case 5:
      return queue<5>(input, work, marks, stream);
    default:
      return queue<0>(input, work, marks, stream);
  }
}

}  // namespace streamsed
