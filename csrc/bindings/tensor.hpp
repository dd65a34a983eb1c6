#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/lane_chunk.hpp"

namespace streamsed::bindings {

// float32 in somebody else's memory, borrowed without a copy for as long as this object lives.
struct Tensor {
  float* data = nullptr;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;  // of each axis, in values
  Memory memory = Memory::host;
  bool read_only = false;
  std::uint64_t producer_stream = 0;  // a CUDA stream handle on which the values are complete
  std::shared_ptr<void> keep;

  // Whether the values of `axis` and the axes behind it lie side by side.
  bool packed_from(std::size_t axis) const;
  std::string describe() const;
};

// Any object with __dlpack__ (asked first, as it waits for the producer's stream) or __cuda_array_interface__, NumPy
// arrays included. Throws ConfigError naming `parameter` unless it is float32 in memory that can be used.
Tensor borrow_tensor(const pybind11::object& object, const char* parameter);

}  // namespace streamsed::bindings
