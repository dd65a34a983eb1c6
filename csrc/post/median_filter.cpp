#include "post/median_filter.hpp"

#include <algorithm>
#include <cmath>

#include "base/errors.hpp"

namespace streamsed {
namespace {

// Rows handled at a time: enough to keep the kernels long, few enough to stay in the first-level cache.
constexpr std::int64_t kBlockRows = 64;
constexpr int kMaxWidth = (1 << 20) + 1;

std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }

}  // namespace

std::vector<int> checked_widths(std::vector<int> widths) {
  require(!widths.empty(), "widths", "one odd width per class", "none");
  for (const int width : widths) {
    require(width >= 1 && width <= kMaxWidth && width % 2 == 1, "widths", "odd frame counts in [1, 1048577]", width);
  }
  return widths;
}

std::int64_t first_nan(const PostKernels& kernels, const float* values, std::int64_t count) {
  if (kernels.largest_bits(values, size(count), kMagnitudeBits) <= kInfinityBits) return -1;
  return std::find_if(values, values + count, [](float value) { return std::isnan(value); }) - values;
}

void require_no_nan(const PostKernels& kernels, const float* values, std::int64_t rows, std::int64_t classes) {
  const std::int64_t at = first_nan(kernels, values, rows * classes);
  if (at < 0) return;
  fail_config("posteriors", "numbers",
              detail::concat("nan in row ", at / classes, ", class ", at % classes, " of the chunk"));
}

OnlineMedianFilter::OnlineMedianFilter(std::vector<int> widths, EdgeMode mode, float cval)
    : widths_(checked_widths(std::move(widths))),
      mode_(mode),
      cval_(cval),
      kernels_(post_kernels(active_isa())),
      columns_(widths_.size()) {
  require(!std::isnan(cval), "cval", "a number", cval);
  for (std::size_t k = 0; k < columns_; ++k) {
    const int width = widths_[k];
    reach_ = std::max<std::int64_t>(reach_, width / 2);
    auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& g) { return g.width == width; });
    if (group == groups_.end()) {
      groups_.push_back({});
      group = groups_.end() - 1;
      group->width = width;
    }
    group->classes.push_back(static_cast<int>(k));
  }
  for (Group& group : groups_) {
    if (group.width <= kMaxNetworkWidth) continue;
    group.lanes = (group.classes.size() + kLanePadding - 1) / kLanePadding * kLanePadding;
    group.sorted.resize(size(group.width) * group.lanes);
    entering_.resize(std::max(entering_.size(), group.lanes));
    leaving_.resize(std::max(leaving_.size(), group.lanes));
  }
  capacity_ = 2 * reach_ + 1 + std::max(kBlockRows, 2 * reach_);
  rows_.resize(size(capacity_) * columns_);
  if (groups_.size() > 1) {
    packed_.resize(rows_.size());
    packed_out_.resize(rows_.size());
  }
  reset();
}

void OnlineMedianFilter::reset() {
  base_ = 0;
  end_ = reach_;
  taken_ = 0;
  emitted_ = 0;
  flushed_ = false;
  for (Group& group : groups_) {
    group.next_row = reach_ - group.width / 2;
    // Entering values push these fillers out before the first median is read.
    std::fill(group.sorted.begin(), group.sorted.end(), std::numeric_limits<float>::infinity());
  }
}

std::int64_t OnlineMedianFilter::rows_after(std::int64_t rows) const {
  if (flushed_) return 0;
  return std::max<std::int64_t>(0, taken_ + rows - reach_) - emitted_;
}

void OnlineMedianFilter::process(const float* in, std::int64_t rows, float* out) {
  if (flushed_) throw StateError("OnlineMedianFilter.process: expected reset() after flush(), got more input");
  require_no_nan(kernels_, in, rows, static_cast<std::int64_t>(columns_));
  while (rows > 0) {
    make_room(out);
    std::int64_t count = std::min(rows, base_ + capacity_ - end_);
    // The start is continued as soon as the frames are there that it repeats.
    if (taken_ <= reach_) count = std::min(count, reach_ + 1 - taken_);
    std::copy_n(in, size(count) * columns_, row(end_));
    end_ += count;
    taken_ += count;
    in += size(count) * columns_;
    rows -= count;
    if (taken_ == reach_ + 1) pad_start();
  }
  if (taken_ > reach_) emit(out);
}

void OnlineMedianFilter::flush(float* out) {
  if (flushed_) throw StateError("OnlineMedianFilter.flush: expected reset() after flush(), got a second flush()");
  flushed_ = true;
  if (taken_ == 0) return;
  if (taken_ <= reach_) pad_start();
  for (std::int64_t i = 0; i < reach_; ++i) {
    make_room(out);
    push_continuation(taken_ + i);
  }
  emit(out);
}

// Copies the row that continues the sequence at frame `index`; that row is still held.
void OnlineMedianFilter::push_continuation(std::int64_t index) {
  const std::int64_t from = edge_index(index, taken_, mode_);
  float* to = row(end_++);
  if (from < 0) {
    std::fill_n(to, columns_, cval_);
  } else {
    std::copy_n(row(from + reach_), columns_, to);
  }
}

void OnlineMedianFilter::pad_start() {
  const std::int64_t end = end_;
  for (end_ = 0; end_ < reach_;) push_continuation(end_ - reach_);
  end_ = end;
}

void OnlineMedianFilter::make_room(float*& out) {
  if (end_ < base_ + capacity_) return;
  emit(out);
  // The row before the next window is kept: it leaves the sorted window when the next one enters.
  const std::int64_t first = std::max<std::int64_t>(base_, emitted_ - 1);
  std::copy(row(first), row(end_), rows_.data());
  base_ = first;
}

// Row `emitted_` is the median of padded rows [emitted_, emitted_ + 2 reach_].
void OnlineMedianFilter::emit(float*& out) {
  const std::int64_t count = end_ - 2 * reach_ - emitted_;
  if (count <= 0) return;
  for (Group& group : groups_) {
    if (group.sorted.empty()) {
      emit_network(group, count, out);
    } else {
      emit_sorted(group, count, out);
    }
  }
  emitted_ += count;
  out += size(count) * columns_;
}

void OnlineMedianFilter::emit_network(const Group& group, std::int64_t count, float* out) {
  const std::int64_t reach = group.width / 2;
  const float* first = row(emitted_ + reach_ - reach);
  const std::size_t n = group.classes.size();
  if (groups_.size() == 1) {
    kernels_.median(first, columns_, group.width, size(count) * columns_, out);
    return;
  }
  for (std::int64_t r = 0; r < count + 2 * reach; ++r) {
    const float* from = first + size(r) * columns_;
    float* to = packed_.data() + size(r) * n;
    for (std::size_t i = 0; i < n; ++i) to[i] = from[group.classes[i]];
  }
  kernels_.median(packed_.data(), n, group.width, size(count) * n, packed_out_.data());
  for (std::int64_t r = 0; r < count; ++r) {
    const float* from = packed_out_.data() + size(r) * n;
    float* to = out + size(r) * columns_;
    for (std::size_t i = 0; i < n; ++i) to[group.classes[i]] = from[i];
  }
}

void OnlineMedianFilter::emit_sorted(Group& group, std::int64_t count, float* out) {
  const std::int64_t reach = group.width / 2;
  const std::int64_t first_row = reach_ - reach;
  const std::size_t n = group.classes.size();
  const float* middle = group.sorted.data() + size(reach) * group.lanes;
  for (std::int64_t r = 0; r < count; ++r) {
    for (; group.next_row <= emitted_ + r + reach_ + reach; ++group.next_row) {
      const float* enters = row(group.next_row);
      const std::int64_t left = group.next_row - group.width;
      const float* leaves = left >= first_row ? row(left) : nullptr;
      for (std::size_t i = 0; i < n; ++i) {
        entering_[i] = enters[group.classes[i]];
        leaving_[i] = leaves != nullptr ? leaves[group.classes[i]] : std::numeric_limits<float>::infinity();
      }
      kernels_.replace_in_sorted(group.sorted.data(), group.width, group.lanes, leaving_.data(), entering_.data());
    }
    float* to = out + size(r) * columns_;
    for (std::size_t i = 0; i < n; ++i) to[group.classes[i]] = middle[i];
  }
}

}  // namespace streamsed
