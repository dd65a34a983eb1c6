#pragma once

#include <cstdint>
#include <vector>

namespace streamsed {

// Sums over the posterior frames of a clip, of all of them or of the newest ones (streamsed.tagging.ClipPooling).
// Posteriors are counted in steps of 2^-24 and their squares in steps of 2^-48: sums of integers have no rounding, so
// that neither chunks nor the length of a stream change a bit.
class ClipPooling {
 public:
  // Non-negative and of any length that a stream has: 2^80 frames do not overflow it.
  struct Sum {
    std::uint64_t high = 0;
    std::uint64_t low = 0;

    void add(std::uint64_t value) {
      low += value;
      high += low < value ? 1U : 0U;
    }
    void subtract(std::uint64_t value) {
      high -= low < value ? 1U : 0U;
      low -= value;
    }
  };

  // window_frames: so many newest frames count, lost ones included; 0 for all frames.
  ClipPooling(std::int64_t labels, std::int64_t window_frames);

  void reset();

  // (rows, labels); present: (rows,), 0 for rows that do not count and may be anything, or null. Returns whether every
  // posterior that counts is in [0, 1]; nothing changes if not.
  bool add(const float* posteriors, const bool* present, std::int64_t rows);

  // Goes on after so many lost frames: a window moves on over them.
  void gap(std::int64_t frames);

  std::int64_t labels() const { return labels_; }
  std::int64_t span() const { return span_; }
  std::int64_t present() const { return present_; }
  const std::vector<std::uint64_t>& sums() const { return sums_; }
  const std::vector<Sum>& squares() const { return squares_; }
  // Looks through a window.
  std::vector<std::uint32_t> largest() const;

 private:
  void forget_oldest();

  std::int64_t labels_;
  std::int64_t window_;
  std::int64_t span_ = 0;
  std::int64_t present_ = 0;
  std::vector<std::uint64_t> sums_;
  std::vector<Sum> squares_;
  std::vector<std::uint32_t> largest_;  // without a window
  // A ring of the window: steps of each frame, zeros where it does not count, and whether it does.
  std::vector<std::uint32_t> steps_;
  std::vector<bool> counts_;
  std::int64_t next_ = 0;
};

}  // namespace streamsed
