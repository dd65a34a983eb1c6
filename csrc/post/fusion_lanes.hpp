#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/busy.hpp"
#include "base/lane_chunk.hpp"

namespace streamsed {

// An ensemble's outputs for several lanes; borrowed pointers, of which those of the weights lead to the host's memory.
struct LaneEnsemble {
  std::vector<const float*> posteriors;   // of each member (lanes, rows, classes)
  std::vector<const float*> confidences;  // of each member (lanes, rows), or none: 1 everywhere
  const float* weights = nullptr;         // (members,), or (lanes, members) where each lane has its own
  bool own_weights = false;
  std::int64_t rows = 0;  // that there is room for
  std::int64_t classes = 0;

  std::size_t members() const { return posteriors.size(); }
  const float* weights_of(std::size_t lane) const { return weights + (own_weights ? lane * members() : 0); }
};

// What cannot be used of one lane: a confidence (member * rows + row), or a posterior, seen by the fused value that is
// not finite (row * classes + class).
struct FusionFault {
  std::size_t lane;
  bool confidence;
  std::int64_t at;
};

// Fuses the ensembles of many lanes in one call; has no state but its memory.
class FusionLanes {
 public:
  FusionLanes() = default;
  virtual ~FusionLanes() = default;
  FusionLanes(const FusionLanes&) = delete;
  FusionLanes& operator=(const FusionLanes&) = delete;

  // Of each lane the first `count` rows are fused into `out` (count, classes), with the bits of fuse(); `lane` and `in`
  // of the chunks are not used. `input` and `output` say where pointers lead, and device memory must be complete on
  // `producer_stream` (a CUDA stream handle, 0: the default stream). The results are complete when the call returns;
  // those of the lanes that it names mean nothing. Throws ConfigError unless weights are finite, 0 or more and, in
  // every lane, one is above 0.
  std::vector<FusionFault> fuse(const LaneEnsemble& ensemble, std::span<const LaneChunk> lanes, Memory input,
                                Memory output, std::uint64_t producer_stream = 0);

  BusyFlag& busy() { return busy_; }

 private:
  virtual std::vector<FusionFault> run(const LaneEnsemble& ensemble, std::span<const LaneChunk> lanes, Memory input,
                                       Memory output, std::uint64_t producer_stream) = 0;

  BusyFlag busy_;
};

// On the calling thread.
std::unique_ptr<FusionLanes> make_cpu_fusion_lanes();

}  // namespace streamsed
