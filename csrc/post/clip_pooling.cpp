#include "post/clip_pooling.hpp"

#include <algorithm>
#include <cmath>

#include "base/errors.hpp"

namespace streamsed {
namespace {

constexpr double steps_of_one = 16777216.0;  // 2^24

std::uint32_t steps_of(float posterior) {
  return static_cast<std::uint32_t>(std::nearbyint(static_cast<double>(posterior) * steps_of_one));
}

std::uint64_t square(std::uint32_t steps) { return std::uint64_t{steps} * steps; }

std::size_t index(std::int64_t value) { return static_cast<std::size_t>(value); }

}  // namespace

ClipPooling::ClipPooling(std::int64_t labels, std::int64_t window_frames) : labels_(labels), window_(window_frames) {
  require(labels >= 1, "n_labels", ">= 1", labels);
  require(window_frames >= 0, "window_frames", ">= 0", window_frames);
  reset();
}

void ClipPooling::reset() {
  span_ = present_ = next_ = 0;
  sums_.assign(index(labels_), 0);
  squares_.assign(index(labels_), Sum{});
  largest_.assign(index(labels_), 0);
  steps_.assign(index(window_ * labels_), 0);
  counts_.assign(index(window_), false);
}

bool ClipPooling::add(const float* posteriors, const bool* present, std::int64_t rows) {
  for (std::int64_t row = 0; row < rows; ++row) {
    if (present != nullptr && !present[row]) continue;
    const float* values = posteriors + row * labels_;
    if (!std::all_of(values, values + labels_, [](float value) { return value >= 0.0F && value <= 1.0F; })) {
      return false;
    }
  }
  for (std::int64_t row = 0; row < rows; ++row) {
    const bool counts = present == nullptr || present[row];
    const float* values = posteriors + row * labels_;
    if (window_ > 0) forget_oldest();
    if (counts) {
      std::uint32_t* kept = window_ > 0 ? steps_.data() + next_ * labels_ : nullptr;
      for (std::int64_t k = 0; k < labels_; ++k) {
        const std::uint32_t steps = steps_of(values[k]);
        sums_[index(k)] += steps;
        squares_[index(k)].add(square(steps));
        if (kept != nullptr) kept[k] = steps;
        largest_[index(k)] = std::max(largest_[index(k)], steps);
      }
      ++present_;
    }
    ++span_;
    if (window_ > 0) {
      counts_[index(next_)] = counts;
      next_ = (next_ + 1) % window_;
      span_ = std::min(span_, window_);
    }
  }
  return true;
}

// Leaves the place of the next frame empty.
void ClipPooling::forget_oldest() {
  if (!counts_[index(next_)]) return;
  std::uint32_t* kept = steps_.data() + next_ * labels_;
  for (std::int64_t k = 0; k < labels_; ++k) {
    sums_[index(k)] -= kept[k];
    squares_[index(k)].subtract(square(kept[k]));
    kept[k] = 0;
  }
  counts_[index(next_)] = false;
  --present_;
}

void ClipPooling::gap(std::int64_t frames) {
  require(frames >= 0, "frames", ">= 0", frames);
  if (window_ == 0) {
    span_ += frames;
    return;
  }
  for (std::int64_t lost = std::min(frames, window_); lost > 0; --lost) {
    forget_oldest();
    next_ = (next_ + 1) % window_;
    span_ = std::min(span_ + 1, window_);
  }
}

std::vector<std::uint32_t> ClipPooling::largest() const {
  if (window_ == 0) return largest_;
  std::vector<std::uint32_t> result(index(labels_), 0);
  for (std::int64_t frame = 0; frame < window_; ++frame) {
    for (std::int64_t k = 0; k < labels_; ++k) {
      result[index(k)] = std::max(result[index(k)], steps_[index(frame * labels_ + k)]);
    }
  }
  return result;
}

}  // namespace streamsed
