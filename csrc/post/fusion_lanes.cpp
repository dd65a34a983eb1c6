#include "post/fusion_lanes.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/errors.hpp"
#include "post/fusion.hpp"
#include "post/kernels.hpp"

namespace streamsed {
namespace {

class CpuFusionLanes final : public FusionLanes {
 private:
  std::vector<FusionFault> run(const LaneEnsemble& ensemble, std::span<const LaneChunk> lanes, Memory input,
                               Memory output, std::uint64_t) override {
    require(input != Memory::device, "posteriors", "host memory for the lanes of a CPU", "device memory");
    require(output != Memory::device, "out", "host memory for the lanes of a CPU", "device memory");
    share_.resize(ensemble.members() * kShareRows);
    const bool together = lie_evenly(ensemble, lanes.size());
    std::vector<FusionFault> faults;
    for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
      if (lanes[lane].count == 0) continue;
      const std::optional<FusionFault> fault = fuse_lane(ensemble, lane, lanes[lane], lanes.size(), together);
      if (fault) faults.push_back(*fault);
    }
    return faults;
  }

  // Whether the members are parts of one array (members, lanes, rows, classes), as the kernels want it.
  static bool lie_evenly(const LaneEnsemble& ensemble, std::size_t lanes) {
    const std::int64_t rows = static_cast<std::int64_t>(lanes) * ensemble.rows;
    for (std::size_t m = 1; m < ensemble.members(); ++m) {
      const auto before = static_cast<std::int64_t>(m) * rows;
      if (ensemble.posteriors[m] != ensemble.posteriors[0] + before * ensemble.classes) return false;
      if (!ensemble.confidences.empty() && ensemble.confidences[m] != ensemble.confidences[0] + before) return false;
    }
    return true;
  }

  std::optional<FusionFault> fuse_lane(const LaneEnsemble& ensemble, std::size_t lane, const LaneChunk& chunk,
                                       std::size_t lanes, bool together) {
    const std::size_t m = ensemble.members();
    const auto rows = static_cast<std::size_t>(chunk.count);
    const auto classes = static_cast<std::size_t>(ensemble.classes);
    const std::size_t first = lane * static_cast<std::size_t>(ensemble.rows);
    for (std::size_t i = 0; i < ensemble.confidences.size(); ++i) {
      const float* from = ensemble.confidences[i] + first;
      if (kernels_.largest_bits(from, rows, kAllBits) < kInfinityBits) continue;
      const auto usable = [](float value) { return std::isfinite(value) && value >= 0.0F; };
      const std::int64_t at = std::find_if_not(from, from + rows, usable) - from;
      // The bits of -0 are beyond those of infinity.
      if (at < chunk.count) return FusionFault{lane, true, static_cast<std::int64_t>(i) * ensemble.rows + at};
    }
    const bool confident = !ensemble.confidences.empty();
    const float* posteriors = nullptr;
    const float* confidences = nullptr;
    std::size_t member_rows = rows;
    if (together) {
      member_rows = lanes * static_cast<std::size_t>(ensemble.rows);
      posteriors = ensemble.posteriors[0] + first * classes;
      if (confident) confidences = ensemble.confidences[0] + first;
    } else {
      gathered_.resize(m * rows * classes);
      gathered_confidences_.resize(confident ? m * rows : 0);
      for (std::size_t i = 0; i < m; ++i) {
        std::copy_n(ensemble.posteriors[i] + first * classes, rows * classes, gathered_.data() + i * rows * classes);
        if (confident) std::copy_n(ensemble.confidences[i] + first, rows, gathered_confidences_.data() + i * rows);
      }
      posteriors = gathered_.data();
      if (confident) confidences = gathered_confidences_.data();
    }
    const bool finite = kernels_.fuse(posteriors, confidences, ensemble.weights_of(lane), m, member_rows, rows, classes,
                                      share_.data(), chunk.out);
    if (finite) return std::nullopt;
    const float* const end = chunk.out + rows * classes;
    const float* bad = std::find_if_not(chunk.out, const_cast<float*>(end), [](float v) { return std::isfinite(v); });
    return FusionFault{lane, false, bad - chunk.out};
  }

  const PostKernels& kernels_ = post_kernels(active_isa());
  std::vector<float> share_;
  std::vector<float> gathered_;
  std::vector<float> gathered_confidences_;
};

}  // namespace

std::vector<FusionFault> FusionLanes::fuse(const LaneEnsemble& ensemble, std::span<const LaneChunk> lanes, Memory input,
                                           Memory output, std::uint64_t producer_stream) {
  require(ensemble.members() >= 1, "posteriors", "one member or more", "none");
  require(ensemble.classes >= 1, "posteriors", "one class or more", "none");
  for (std::size_t lane = 0; lane < (ensemble.own_weights ? lanes.size() : 1); ++lane) {
    validate({nullptr, nullptr, ensemble.weights_of(lane), static_cast<std::int64_t>(ensemble.members()), 0, 0});
  }
  for (const LaneChunk& chunk : lanes) {
    require(chunk.count >= 0 && chunk.count <= ensemble.rows, "lengths", "numbers from 0 to the rows that there are",
            chunk.count);
  }
  return run(ensemble, lanes, input, output, producer_stream);
}

std::unique_ptr<FusionLanes> make_cpu_fusion_lanes() { return std::make_unique<CpuFusionLanes>(); }

}  // namespace streamsed
