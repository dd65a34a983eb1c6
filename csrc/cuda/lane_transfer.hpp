#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/lane_chunk.hpp"
#include "cuda/memory.hpp"
#include "cuda/stream.hpp"

namespace streamsed::cuda {

// The inputs and outputs of a call over lanes as the device sees them: device memory is used where it is, pinned memory
// copied from and to directly, other memory by way of pinned memory of this object.
//
// prepare, upload, (kernels), download, stream.synchronize, deliver. Only prepare allocates.
class LaneTransfer {
 public:
  // values_in(c) and values_out(c): floats of chunk c.
  template <class ValuesIn, class ValuesOut>
  void prepare(std::span<const LaneChunk> chunks, Memory input, Memory output, const ValuesIn& values_in,
               const ValuesOut& values_out) {
    input_ = input;
    output_ = output;
    fill(in_offsets_, chunks.size(), values_in);
    fill(out_offsets_, chunks.size(), values_out);
    reserve();
  }

  void upload(std::span<const LaneChunk> chunks, const Stream& stream);
  void download(std::span<const LaneChunk> chunks, const Stream& stream);
  void deliver(std::span<const LaneChunk> chunks) const;

  // Where the device finds the input of chunk c and puts its output.
  const float* input(std::span<const LaneChunk> chunks, std::size_t c) const {
    return input_ == Memory::device ? chunks[c].in : device_in_.data() + in_offsets_[c];
  }
  float* output(std::span<const LaneChunk> chunks, std::size_t c) const {
    return output_ == Memory::device ? chunks[c].out : device_out_.data() + out_offsets_[c];
  }

 private:
  template <class Values>
  static void fill(std::vector<std::size_t>& offsets, std::size_t chunks, const Values& values) {
    offsets.resize(chunks + 1);
    offsets[0] = 0;
    for (std::size_t c = 0; c < chunks; ++c) offsets[c + 1] = offsets[c] + static_cast<std::size_t>(values(c));
  }
  void reserve();

  Memory input_ = Memory::host;
  Memory output_ = Memory::host;
  // Chunk c is [offsets[c], offsets[c + 1]) of the buffers.
  std::vector<std::size_t> in_offsets_;
  std::vector<std::size_t> out_offsets_;
  DeviceBuffer<float> device_in_;
  DeviceBuffer<float> device_out_;
  PinnedBuffer<float> staged_in_;
  PinnedBuffer<float> staged_out_;
};

}  // namespace streamsed::cuda
