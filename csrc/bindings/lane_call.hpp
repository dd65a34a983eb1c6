#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/lane_chunk.hpp"
#include "bindings/tensor.hpp"

namespace streamsed::bindings {

// Values of one chunk as they are, or converted to float32; `keep` owns them.
struct ChunkValues {
  const float* data;
  std::int64_t count;
  std::shared_ptr<void> keep;  // null where the array itself owns them
};

// What process() returns: outputs, and what is wrong with which chunks.
using Complaints = pybind11::typing::List<pybind11::typing::Tuple<int, pybind11::str>>;

using Delivery = pybind11::typing::Tuple<pybind11::list, Complaints>;

// What the chunks of a call hold: arrays of so many `dimensions` with `columns` values an item.
struct ChunkKind {
  const char* parameter;
  std::int64_t columns;
  int dimensions;
  ChunkValues (*take)(const pybind11::array& array, std::int64_t columns);
};

using Numbers = std::optional<std::vector<int>>;
using Lengths = std::optional<std::vector<std::int64_t>>;

// The chunks of a call over lanes: a sequence of arrays of any lengths, or one array or tensor with an axis of lanes in
// front and, with `lengths`, only so many items of each that count. Throws ConfigError naming what does not fit.
class LaneInput {
 public:
  LaneInput(const pybind11::object& chunks, const Numbers& lanes, const Lengths& lengths, int lane_count,
            const ChunkKind& kind);
  LaneInput(const LaneInput&) = delete;
  LaneInput& operator=(const LaneInput&) = delete;

  std::span<LaneChunk> chunks() { return chunks_; }
  Memory memory() const { return memory_; }
  std::uint64_t producer_stream() const { return producer_stream_; }

 private:
  void add_sequence(const pybind11::sequence& sequence, const ChunkKind& kind);
  void add_rows(const Tensor& tensor, const ChunkKind& kind);
  void add(const float* data, std::int64_t count, Memory memory, std::uint64_t stream);
  void shorten(const std::vector<std::int64_t>& lengths);
  void number(const Numbers& lanes, int lane_count);

  std::vector<LaneChunk> chunks_;
  Memory memory_ = Memory::host;
  std::uint64_t producer_stream_ = 0;
  std::vector<pybind11::object> arrays_;
  std::vector<std::shared_ptr<void>> keep_;
};

// The numbers, or those of all lanes.
std::vector<int> numbers_or_all(const Numbers& lanes, int lane_count);

bool is_sequence(const pybind11::object& object);

// Where the outputs of a call go: fresh memory, or the caller's (B, T, columns) with T rows of room for each chunk.
// Sets `out` of the chunks.
class LaneOutput {
 public:
  LaneOutput(const pybind11::object& out, std::span<LaneChunk> chunks, std::vector<std::int64_t> rows,
             std::int64_t columns);

  Memory memory() const { return memory_; }
  // Fresh memory: a list of arrays (rows, columns). The caller's: how many rows of each are filled.
  pybind11::list results() const;

 private:
  std::vector<std::int64_t> rows_;
  std::int64_t columns_;
  Memory memory_ = Memory::host;
  std::optional<pybind11::array_t<float>> fresh_;
  Tensor given_;
};

// [(index of the chunk, what is wrong with it)]; `rule` is what was expected of every value.
Complaints complaints(std::span<const LaneChunk> chunks, Memory memory, const ChunkKind& kind, const char* rule);

}  // namespace streamsed::bindings
