#include "bindings/lane_call.hpp"

#include <algorithm>
#include <numeric>

#include "base/errors.hpp"

namespace py = pybind11;

namespace streamsed::bindings {
namespace {

std::string shape_rule(const ChunkKind& kind, const char* first) {
  return kind.dimensions == 1 ? detail::concat("float32 (", first, "n)")
                              : detail::concat("float32 (", first, "n, ", kind.columns, ")");
}

}  // namespace

std::vector<int> numbers_or_all(const Numbers& lanes, int lane_count) {
  if (lanes) return *lanes;
  std::vector<int> all(static_cast<std::size_t>(lane_count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

bool is_sequence(const py::object& object) {
  return py::isinstance<py::list>(object) || py::isinstance<py::tuple>(object);
}

LaneInput::LaneInput(const py::object& chunks, const Numbers& lanes, const Lengths& lengths, int lane_count,
                     const ChunkKind& kind) {
  const bool array = py::isinstance<py::array>(chunks);
  if (is_sequence(chunks)) {
    add_sequence(py::reinterpret_borrow<py::sequence>(chunks), kind);
  } else if (array && !py::isinstance<py::array_t<float>>(chunks)) {
    // Other types are converted chunk by chunk; an array with too few axes has no chunks to iterate over.
    require(py::reinterpret_borrow<py::array>(chunks).ndim() == kind.dimensions + 1, kind.parameter,
            shape_rule(kind, "lanes, ").c_str(),
            detail::concat(py::reinterpret_borrow<py::array>(chunks).ndim(), " dimensions"));
    add_sequence(py::list(chunks), kind);
  } else {
    add_rows(borrow_tensor(chunks, kind.parameter), kind);
  }
  if (lengths) shorten(*lengths);
  number(lanes, lane_count);
}

void LaneInput::add(const float* data, std::int64_t count, Memory memory, std::uint64_t stream) {
  if (chunks_.empty()) {
    memory_ = memory;
    producer_stream_ = stream;
  }
  require(memory_ == memory && producer_stream_ == stream, "chunks",
          "all in the same kind of memory and complete on the same stream", "two kinds");
  chunks_.push_back({0, data, count, nullptr});
}

void LaneInput::add_sequence(const py::sequence& sequence, const ChunkKind& kind) {
  const std::size_t n = sequence.size();
  chunks_.reserve(n);
  arrays_.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    const py::object item = sequence[i];
    if (py::isinstance<py::array>(item)) {
      ChunkValues values = kind.take(py::reinterpret_borrow<py::array>(item), kind.columns);
      add(values.data, values.count, Memory::host, 0);
      if (values.keep != nullptr) keep_.push_back(std::move(values.keep));
      arrays_.push_back(item);
      continue;
    }
    Tensor tensor = borrow_tensor(item, kind.parameter);
    const bool fits = static_cast<int>(tensor.shape.size()) == kind.dimensions && tensor.packed_from(0) &&
                      (kind.dimensions == 1 || tensor.shape[1] == kind.columns);
    if (!fits) fail_config(kind.parameter, shape_rule(kind, "").c_str(), tensor.describe());
    add(tensor.data, tensor.shape[0], tensor.memory, tensor.producer_stream);
    keep_.push_back(std::move(tensor.keep));
  }
}

void LaneInput::add_rows(const Tensor& tensor, const ChunkKind& kind) {
  const bool fits = static_cast<int>(tensor.shape.size()) == kind.dimensions + 1 && tensor.packed_from(1) &&
                    (kind.dimensions == 1 || tensor.shape[2] == kind.columns);
  if (!fits) fail_config(kind.parameter, shape_rule(kind, "lanes, ").c_str(), tensor.describe());
  chunks_.reserve(static_cast<std::size_t>(tensor.shape[0]));
  for (std::int64_t i = 0; i < tensor.shape[0]; ++i) {
    add(tensor.data + i * tensor.strides[0], tensor.shape[1], tensor.memory, tensor.producer_stream);
  }
  keep_.push_back(tensor.keep);
}

void LaneInput::shorten(const std::vector<std::int64_t>& lengths) {
  require(lengths.size() == chunks_.size(), "lengths", "one for each chunk", lengths.size());
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const std::string rule = detail::concat("numbers in [0, ", chunks_[i].count, "]");
    require(lengths[i] >= 0 && lengths[i] <= chunks_[i].count, "lengths", rule.c_str(), lengths[i]);
    chunks_[i].count = lengths[i];
  }
}

void LaneInput::number(const Numbers& lanes, int lane_count) {
  const std::vector<int> numbers = numbers_or_all(lanes, lane_count);
  const std::string rule = detail::concat("one for each of ", numbers.size(), " lanes");
  require(chunks_.size() == numbers.size(), "chunks", rule.c_str(), chunks_.size());
  for (std::size_t i = 0; i < numbers.size(); ++i) chunks_[i].lane = numbers[i];
}

LaneOutput::LaneOutput(const py::object& out, std::span<LaneChunk> chunks, std::vector<std::int64_t> rows,
                       std::int64_t columns)
    : rows_(std::move(rows)), columns_(columns) {
  if (out.is_none()) {
    const std::int64_t total = std::accumulate(rows_.begin(), rows_.end(), std::int64_t{0});
    fresh_.emplace(std::vector<py::ssize_t>{static_cast<py::ssize_t>(total), static_cast<py::ssize_t>(columns)});
    float* to = fresh_->mutable_data();
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      chunks[i].out = to;
      to += rows_[i] * columns;
    }
    return;
  }
  given_ = borrow_tensor(out, "out");
  const std::int64_t most = rows_.empty() ? 0 : *std::max_element(rows_.begin(), rows_.end());
  const std::vector<std::int64_t>& shape = given_.shape;
  const bool fits = shape.size() == 3 && shape[0] == static_cast<std::int64_t>(chunks.size()) && shape[1] >= most &&
                    shape[2] == columns && given_.packed_from(1) && !given_.read_only;
  if (!fits) {
    const std::string rule =
        detail::concat("writable float32 (", chunks.size(), ", ", most, " or more, ", columns, ") without gaps");
    fail_config("out", rule.c_str(), given_.describe());
  }
  memory_ = given_.memory;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    chunks[i].out = given_.data + static_cast<std::int64_t>(i) * given_.strides[0];
  }
}

py::list LaneOutput::results() const {
  py::list results(rows_.size());
  float* from = fresh_ ? const_cast<float*>(fresh_->data()) : nullptr;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (!fresh_) {
      results[i] = py::int_(rows_[i]);
      continue;
    }
    results[i] = py::array_t<float>(
        std::vector<py::ssize_t>{static_cast<py::ssize_t>(rows_[i]), static_cast<py::ssize_t>(columns_)}, from,
        *fresh_);
    from += rows_[i] * columns_;
  }
  return results;
}

Complaints complaints(std::span<const LaneChunk> chunks, Memory memory, const ChunkKind& kind, const char* rule) {
  Complaints out;
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const LaneChunk& chunk = chunks[i];
    if (chunk.bad < 0) continue;
    std::string text = detail::concat(kind.parameter, ": expected ", rule, ", got ");
    text += memory == Memory::device ? "another value" : detail::concat(chunk.in[chunk.bad]);
    if (kind.dimensions == 1) {
      text += detail::concat(" at position ", chunk.bad);
    } else {
      text += detail::concat(" in row ", chunk.bad / kind.columns, ", class ", chunk.bad % kind.columns);
    }
    text += detail::concat(" of the chunk for lane ", chunk.lane);
    out.append(py::make_tuple(static_cast<int>(i), text));
  }
  return out;
}

}  // namespace streamsed::bindings
