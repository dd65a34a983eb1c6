#include "audio/resampler.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/errors.hpp"

namespace streamsed {
namespace {

constexpr int lanes = 4;
constexpr std::int64_t block = 4 * lanes;
// More than a stream ever holds: memory of a whole recording is given back.
constexpr std::size_t most_held_capacity = 1U << 16U;

typedef float Lanes __attribute__((vector_size(sizeof(float) * lanes)));

Lanes load(const float* values) {
  Lanes result;
  std::memcpy(&result, values, sizeof(result));
  return result;
}

// Dot products of `Outputs` windows with their taps, side by side, as each of them is one chain of additions. The order
// of each is that of numpy's einsum with four lanes, the bits are thus those of a plain
// np.einsum("ij,ij->i", windows, taps) there.
template <int Outputs>
void dot(const float* const* windows, const float* const* taps, std::int64_t count, float* out) {
  Lanes sums[Outputs] = {};
  std::int64_t i = 0;
  for (; i + block <= count; i += block) {
    for (std::int64_t j = i + block - lanes; j >= i; j -= lanes) {
      for (int n = 0; n < Outputs; ++n) sums[n] += load(windows[n] + j) * load(taps[n] + j);
    }
  }
  for (; i + lanes <= count; i += lanes) {
    for (int n = 0; n < Outputs; ++n) sums[n] += load(windows[n] + i) * load(taps[n] + i);
  }
  for (int lane = 0; i < count; ++i, ++lane) {
    for (int n = 0; n < Outputs; ++n) sums[n][lane] += windows[n][i] * taps[n][i];
  }
  for (int n = 0; n < Outputs; ++n) out[n] = (sums[n][0] + sums[n][1]) + (sums[n][2] + sums[n][3]);
}

std::int64_t half_of(std::size_t taps, std::int64_t up, std::int64_t down) {
  require(up > 0, "up", "> 0", up);
  require(down > 0, "down", "> 0", down);
  const auto count = static_cast<std::int64_t>(taps);
  require(count % (2 * up) == 0, "taps", "an even number for each of the `up` phases", count);
  require(count > 0 || (up == 1 && down == 1), "taps", "some, where rates differ", count);
  return count / (2 * up);
}

}  // namespace

PolyphaseTaps::PolyphaseTaps(std::vector<float> taps, std::int64_t up, std::int64_t down)
    : taps_(std::move(taps)), up_(up), down_(down), half_(half_of(taps_.size(), up, down)) {}

Resampler::Resampler(std::shared_ptr<const PolyphaseTaps> taps) : taps_(std::move(taps)) { reset(0); }

// Output n needs input floor(n · down / up) + half.
std::int64_t Resampler::end_after(std::int64_t taken) const {
  const std::int64_t ready = (taken - taps_->half()) * taps_->up() - offset_;
  return ready > 0 ? (ready + taps_->down() - 1) / taps_->down() : 0;
}

std::int64_t Resampler::outputs_after(std::int64_t count) const {
  return std::max<std::int64_t>(0, end_after(taken_ + count) - next_);
}

std::int64_t Resampler::outputs_at_end() const {
  if (taps_->half() == 0) return 0;
  const std::int64_t total = 2 * (taken_ * taps_->up() - offset_) + taps_->down();
  return total > 0 ? std::max<std::int64_t>(0, total / (2 * taps_->down()) - next_) : 0;
}

void Resampler::process(const float* samples, std::int64_t count, float* out) {
  check_open("process");
  const std::int64_t outputs = outputs_after(count);
  taken_ += count;
  if (taps_->half() == 0) {
    std::copy(samples + count - outputs, samples + count, out);
    next_ += outputs;
    return;
  }
  held_.insert(held_.end(), samples, samples + count);
  give(outputs, out);
}

void Resampler::flush(float* out) {
  check_open("flush");
  finished_ = true;
  const std::int64_t outputs = outputs_at_end();
  held_.resize(held_.size() + static_cast<std::size_t>(2 * taps_->half()), 0.0F);
  give(outputs, out);
}

void Resampler::give(std::int64_t count, float* out) {
  constexpr int side_by_side = 4;
  const std::int64_t up = taps_->up();
  const std::int64_t down = taps_->down();
  const std::int64_t half = taps_->half();
  // Numbers relative to what is held: `position` counts in units of 1 / up input samples.
  std::int64_t position = next_ * down + offset_ - first_held_ * up;
  const float* windows[side_by_side];
  const float* taps[side_by_side];
  for (std::int64_t n = 0; n < count; n += side_by_side) {
    const int together = static_cast<int>(std::min<std::int64_t>(side_by_side, count - n));
    for (int i = 0; i < together; ++i, position += down) {
      const std::int64_t whole = position / up;
      windows[i] = held_.data() + whole - (half - 1);
      taps[i] = taps_->phase(position - whole * up);
    }
    if (together == side_by_side) {
      dot<side_by_side>(windows, taps, 2 * half, out + n);
    } else {
      for (int i = 0; i < together; ++i) dot<1>(windows + i, taps + i, 2 * half, out + n + i);
    }
  }
  next_ += count;
  const std::int64_t first_needed = (next_ * down + offset_) / up - (half - 1);
  const std::int64_t drop = std::min(first_needed - first_held_, static_cast<std::int64_t>(held_.size()));
  held_.erase(held_.begin(), held_.begin() + drop);
  if (held_.capacity() > most_held_capacity) held_.shrink_to_fit();
  first_held_ += drop;
}

void Resampler::reset(std::int64_t offset) {
  require(offset >= 0, "offset", ">= 0", offset);
  const std::int64_t before = std::max<std::int64_t>(0, taps_->half() - 1);
  offset_ = offset;
  taken_ = next_ = 0;
  held_.assign(static_cast<std::size_t>(before), 0.0F);
  first_held_ = -before;
  finished_ = false;
}

void Resampler::check_open(const char* verb) const {
  if (finished_) {
    throw StateError(detail::concat(verb, ": expected a stream that was not flushed; call reset() first"));
  }
}

}  // namespace streamsed
