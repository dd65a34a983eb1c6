#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "post/edge_mode.hpp"
#include "post/kernels.hpp"

namespace streamsed {

// Running median along time of rows of classes, one odd width per class. A row comes out, with all its classes, when
// latency_frames() more have come in. Every value equals scipy.ndimage.median_filter over the whole sequence.
class OnlineMedianFilter {
 public:
  OnlineMedianFilter(std::vector<int> widths, EdgeMode mode, float cval);

  // Rows that process(rows) and flush() will write; exact. Nothing after flush().
  std::int64_t rows_after(std::int64_t rows) const;
  std::int64_t rows_after_flush() const { return taken_ - emitted_; }

  // in (rows, classes) without NaN -> out (rows_after(rows), classes). Nothing is changed when it throws.
  void process(const float* in, std::int64_t rows, float* out);
  void flush(float* out);
  void reset();

  int classes() const { return static_cast<int>(widths_.size()); }
  const std::vector<int>& widths() const { return widths_; }
  std::int64_t latency_frames() const { return reach_; }

 private:
  // Classes of one width, packed side by side.
  struct Group {
    int width;
    std::vector<int> classes;
    std::size_t lanes = 0;      // of the sorted window
    std::int64_t next_row = 0;  // padded row that enters the sorted window next
    std::vector<float> sorted;  // width × lanes; empty where a network does it
  };

  float* row(std::int64_t padded) { return rows_.data() + static_cast<std::size_t>(padded - base_) * columns_; }
  void push(const float* values);
  void push_continuation(std::int64_t index);
  void pad_start();
  void make_room(float*& out);
  void emit(float*& out);
  void emit_network(const Group& group, std::int64_t count, float* out);
  void emit_sorted(Group& group, std::int64_t count, float* out);

  const std::vector<int> widths_;
  const EdgeMode mode_;
  const float cval_;
  const PostKernels& kernels_;
  const std::size_t columns_;
  std::vector<Group> groups_;
  std::int64_t reach_ = 0;  // half of the widest window

  // Padded row p stands for frame p - reach_: reach_ rows of continuation come first. rows_ holds [base_, end_).
  std::int64_t capacity_ = 0;
  std::vector<float> rows_;
  std::vector<float> packed_;
  std::vector<float> packed_out_;
  std::vector<float> entering_;
  std::vector<float> leaving_;
  std::int64_t base_ = 0;
  std::int64_t end_ = 0;
  std::int64_t taken_ = 0;
  std::int64_t emitted_ = 0;
  bool flushed_ = false;
};

// The widths, unless there are none or one is even or out of range: ConfigError.
std::vector<int> checked_widths(std::vector<int> widths);

// Index of the first NaN, or -1.
std::int64_t first_nan(const PostKernels& kernels, const float* values, std::int64_t count);

// Throws ConfigError naming the first frame and class of a NaN in values (rows, classes).
void require_no_nan(const PostKernels& kernels, const float* values, std::int64_t rows, std::int64_t classes);

}  // namespace streamsed
