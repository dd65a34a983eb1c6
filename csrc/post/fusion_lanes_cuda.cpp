#include "post/fusion_lanes_cuda.hpp"

#include <algorithm>
#include <utility>

#include "base/errors.hpp"
#include "cuda/lane_transfer.hpp"
#include "cuda/memory.hpp"
#include "cuda/tile_plan.hpp"
#include "post/fusion_lanes_kernel.hpp"

namespace streamsed {
namespace {

constexpr std::int64_t kMostValues = 0x7FFFFFFF;

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

class CudaFusionLanes final : public FusionLanes {
 private:
  std::vector<FusionFault> run(const LaneEnsemble& ensemble, std::span<const LaneChunk> lanes, Memory input,
                               Memory output, std::uint64_t producer_stream) override;

  void prepare(const LaneEnsemble& ensemble, std::span<const LaneChunk> lanes, Memory input, Memory output);
  FusionInput inputs(const LaneEnsemble& ensemble) const;
  FusionWork fill_tasks(const LaneEnsemble& ensemble, std::span<const LaneChunk> lanes, const FusionInput& input);
  void fill_weights(const LaneEnsemble& ensemble, std::size_t lanes);
  std::vector<FusionFault> faults(std::size_t lanes) const;

  cuda::Stream stream_;
  // Arrays of the members, those of their confidences, and then the lanes, which have only outputs.
  std::vector<LaneChunk> pieces_;
  cuda::LaneTransfer transfer_;
  cuda::Mirror<FusionTask> tasks_;
  cuda::Mirror<std::uint32_t> first_tiles_;
  cuda::Mirror<float> weights_;
  cuda::Mirror<FusionMarks> marks_;
};

void CudaFusionLanes::prepare(const LaneEnsemble& ensemble, std::span<const LaneChunk> lanes, Memory input,
                              Memory output) {
  pieces_.clear();
  const auto rows = static_cast<std::int64_t>(lanes.size()) * ensemble.rows;
  for (const float* from : ensemble.posteriors) pieces_.push_back({0, from, rows * ensemble.classes, nullptr});
  for (const float* from : ensemble.confidences) pieces_.push_back({0, from, rows, nullptr});
  const std::size_t arrays = pieces_.size();
  pieces_.insert(pieces_.end(), lanes.begin(), lanes.end());
  transfer_.prepare(
      pieces_, input, output, [&](std::size_t c) { return c < arrays ? pieces_[c].count : 0; },
      [&](std::size_t c) { return c < arrays ? 0 : pieces_[c].count * ensemble.classes; });
}

FusionInput CudaFusionLanes::inputs(const LaneEnsemble& ensemble) const {
  const std::size_t m = ensemble.members();
  FusionInput input{};
  input.has_confidences = !ensemble.confidences.empty();
  input.members = static_cast<std::uint32_t>(m);
  input.classes = static_cast<std::uint32_t>(ensemble.classes);
  input.rows = ensemble.rows;
  for (std::size_t i = 0; i < m; ++i) {
    input.posteriors[i] = transfer_.input(pieces_, i);
    if (input.has_confidences) input.confidences[i] = transfer_.input(pieces_, m + i);
  }
  return input;
}

void CudaFusionLanes::fill_weights(const LaneEnsemble& ensemble, std::size_t lanes) {
  const std::size_t m = ensemble.members();
  const std::size_t tables = ensemble.own_weights ? lanes : 1;
  weights_.reserve(tables * (m + 1));
  for (std::size_t t = 0; t < tables; ++t) {
    float* to = weights_.host() + t * (m + 1);
    std::copy_n(ensemble.weights_of(t), m, to);
    float sum = 0.0F;
    for (std::size_t i = 0; i < m; ++i) sum += to[i];
    to[m] = 1.0F / sum;
  }
}

FusionWork CudaFusionLanes::fill_tasks(const LaneEnsemble& ensemble, std::span<const LaneChunk> lanes,
                                       const FusionInput& input) {
  const std::size_t m = ensemble.members();
  const std::size_t arrays = pieces_.size() - lanes.size();
  bool all_aligned = ensemble.rows * ensemble.classes % 4 == 0 || lanes.size() == 1;
  for (std::size_t i = 0; i < m; ++i) all_aligned = all_aligned && aligned(input.posteriors[i]);
  tasks_.reserve(lanes.size());
  first_tiles_.reserve(lanes.size() + 1);
  for (std::size_t c = 0; c < lanes.size(); ++c) {
    float* const out = transfer_.output(pieces_, arrays + c);
    all_aligned = all_aligned && aligned(out);
    tasks_.host()[c] = {out, weights_.device() + (ensemble.own_weights ? c * (m + 1) : 0), static_cast<std::int64_t>(c),
                        static_cast<std::uint32_t>(lanes[c].count * ensemble.classes)};
  }
  const std::uint32_t each = cuda::plan_tiles({first_tiles_.host(), lanes.size() + 1}, kFusionTileValues,
                                              [&](std::size_t c) { return std::int64_t{tasks_.host()[c].values}; });
  return {tasks_.device(),
          first_tiles_.device(),
          static_cast<std::uint32_t>(lanes.size()),
          each,
          first_tiles_.host()[lanes.size()],
          all_aligned};
}

std::vector<FusionFault> CudaFusionLanes::faults(std::size_t lanes) const {
  std::vector<FusionFault> found;
  for (std::size_t c = 0; c < lanes; ++c) {
    const FusionMarks& marks = marks_.host()[c];
    const bool confidence = marks.confidence != ~0ULL;
    if (!confidence && marks.value == ~0ULL) continue;
    found.push_back({c, confidence, static_cast<std::int64_t>(confidence ? marks.confidence : marks.value)});
  }
  return found;
}

std::vector<FusionFault> CudaFusionLanes::run(const LaneEnsemble& ensemble, std::span<const LaneChunk> lanes,
                                              Memory input, Memory output, std::uint64_t producer_stream) {
  const std::size_t n = lanes.size();
  require(ensemble.members() <= kMostFusedMembers, "posteriors", "at most 64 members on a GPU", ensemble.members());
  require(ensemble.rows <= kMostValues / ensemble.classes, "posteriors", "at most 2147483647 values of a lane",
          detail::concat(ensemble.rows, " rows of ", ensemble.classes));
  if (n == 0) return {};
  prepare(ensemble, lanes, input, output);
  fill_weights(ensemble, n);
  marks_.reserve(n);
  const FusionInput given = inputs(ensemble);
  const FusionWork work = fill_tasks(ensemble, lanes, given);

  const cuda::Draining draining(stream_);
  if (input == Memory::device || output == Memory::device) {
    stream_.wait_for(reinterpret_cast<void*>(producer_stream));
  }
  weights_.upload((ensemble.own_weights ? n : 1) * (ensemble.members() + 1), stream_);
  tasks_.upload(n, stream_);
  first_tiles_.upload(n + 1, stream_);
  cuda::fill_bytes(marks_.device(), 0xFF, n * sizeof(FusionMarks), stream_);
  transfer_.upload(pieces_, stream_);
  queue_fusion(given, work, marks_.device(), stream_);
  marks_.download(n, stream_);
  transfer_.download(pieces_, stream_);
  stream_.synchronize();

  transfer_.deliver(pieces_);
  return faults(n);
}

}  // namespace

std::unique_ptr<FusionLanes> make_cuda_fusion_lanes() { return std::make_unique<CudaFusionLanes>(); }

}  // namespace streamsed
