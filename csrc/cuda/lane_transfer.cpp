#include "cuda/lane_transfer.hpp"

#include <algorithm>

namespace streamsed::cuda {
namespace {

// Calls copy(first chunk, values) for each run of chunks that lie side by side at `address(c)`.
template <class Address, class Copy>
void for_each_run(const std::vector<std::size_t>& offsets, const Address& address, const Copy& copy) {
  const std::size_t chunks = offsets.size() - 1;
  for (std::size_t begin = 0; begin < chunks;) {
    std::size_t end = begin + 1;
    while (end < chunks && address(end) == address(begin) + (offsets[end] - offsets[begin])) ++end;
    if (offsets[end] > offsets[begin]) copy(begin, offsets[end] - offsets[begin]);
    begin = end;
  }
}

}  // namespace

void LaneTransfer::reserve() {
  if (input_ != Memory::device) device_in_.reserve(in_offsets_.back());
  if (input_ == Memory::host) staged_in_.reserve(in_offsets_.back());
  if (output_ != Memory::device) device_out_.reserve(out_offsets_.back());
  if (output_ == Memory::host) staged_out_.reserve(out_offsets_.back());
}

void LaneTransfer::upload(std::span<const LaneChunk> chunks, const Stream& stream) {
  if (input_ == Memory::host) {
    for (std::size_t c = 0; c < chunks.size(); ++c) {
      std::copy_n(chunks[c].in, in_offsets_[c + 1] - in_offsets_[c], staged_in_.data() + in_offsets_[c]);
    }
    copy(device_in_.data(), staged_in_.data(), in_offsets_.back(), stream);
  } else if (input_ == Memory::pinned) {
    for_each_run(
        in_offsets_, [&](std::size_t c) { return chunks[c].in; },
        [&](std::size_t c, std::size_t count) {
          copy(device_in_.data() + in_offsets_[c], chunks[c].in, count, stream);
        });
  }
}

void LaneTransfer::download(std::span<const LaneChunk> chunks, const Stream& stream) {
  if (output_ == Memory::host) {
    copy(staged_out_.data(), device_out_.data(), out_offsets_.back(), stream);
  } else if (output_ == Memory::pinned) {
    for_each_run(
        out_offsets_, [&](std::size_t c) { return chunks[c].out; },
        [&](std::size_t c, std::size_t count) {
          copy(chunks[c].out, device_out_.data() + out_offsets_[c], count, stream);
        });
  }
}

void LaneTransfer::deliver(std::span<const LaneChunk> chunks) const {
  if (output_ != Memory::host) return;
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    std::copy_n(staged_out_.data() + out_offsets_[c], out_offsets_[c + 1] - out_offsets_[c], chunks[c].out);
  }
}

}  // namespace streamsed::cuda
