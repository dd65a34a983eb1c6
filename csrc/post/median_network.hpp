#pragma once

#include <array>
#include <cstddef>

namespace streamsed {

// One compare-exchange of a selection network: value `low` becomes the smaller and `high` the larger of the two. A
// result that nothing reads afterwards is not computed.
struct CompareExchange {
  std::size_t low;
  std::size_t high;
  bool need_low;
  bool need_high;
};

// Compare-exchanges of Batcher's merge exchange sort of N values (Knuth, The Art of Computer Programming 3, algorithm
// 5.2.2M), without those that the values of ranks First to First + Count - 1 do not depend on. Made by the compiler.
template <std::size_t N, std::size_t First, std::size_t Count>
class SelectionNetwork {
 public:
  static constexpr std::size_t count() { return kNetwork.count; }
  static constexpr CompareExchange at(std::size_t i) { return kNetwork.steps[i]; }

 private:
  static constexpr std::size_t kMost = N * N;

  struct Steps {
    std::array<CompareExchange, kMost> steps{};
    std::size_t count = 0;
  };

  static constexpr Steps sorting() {
    Steps all;
    std::size_t top = 1;
    while (2 * top < N) top *= 2;
    for (std::size_t p = top; p > 0; p /= 2) {
      std::size_t q = top;
      std::size_t r = 0;
      std::size_t d = p;
      for (;;) {
        for (std::size_t i = 0; i + d < N; ++i) {
          if ((i & p) == r) all.steps[all.count++] = {i, i + d, true, true};
        }
        if (q == p) break;
        d = q - p;
        q /= 2;
        r = p;
      }
    }
    return all;
  }

  static constexpr Steps pruned() {
    const Steps all = sorting();
    std::array<bool, N> needed{};
    for (std::size_t i = 0; i < Count; ++i) needed[First + i] = true;
    Steps reversed;
    for (std::size_t i = all.count; i-- > 0;) {
      CompareExchange step = all.steps[i];
      step.need_low = needed[step.low];
      step.need_high = needed[step.high];
      if (!step.need_low && !step.need_high) continue;
      needed[step.low] = needed[step.high] = true;
      reversed.steps[reversed.count++] = step;
    }
    Steps out;
    while (out.count < reversed.count) {
      out.steps[out.count] = reversed.steps[reversed.count - 1 - out.count];
      ++out.count;
    }
    return out;
  }

  static constexpr Steps kNetwork = pruned();
};

template <std::size_t N>
using MedianNetwork = SelectionNetwork<N, N / 2, 1>;

}  // namespace streamsed
