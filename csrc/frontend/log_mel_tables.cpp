#include "frontend/log_mel_tables.hpp"

#include <cmath>
#include <numbers>

#include "frontend/frame_plan.hpp"
#include "frontend/mel_filter_bank.hpp"

namespace streamsed {
namespace {

// w_n^k with the angle reduced first, so that large k lose nothing.
template <class T>
void push_root(std::vector<T>& out, std::int64_t k, std::int64_t n) {
  const double angle = -2.0 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n);
  out.push_back(static_cast<T>(std::cos(angle)));
  out.push_back(static_cast<T>(std::sin(angle)));
}

std::vector<int> radices_of(int n, int largest) {
  if (largest < 16) return fft_radices(n);
  std::vector<int> radices;
  for (; n >= 16; n /= 16) radices.push_back(16);
  if (n > 1) radices.push_back(n);
  return radices;
}

}  // namespace

template <class T>
LogMelTables<T>::LogMelTables(const LogMelConfig& config, int largest_radix) {
  const int half = config.n_fft / 2;
  window.assign(static_cast<std::size_t>(config.n_fft), T{0});
  const std::vector<double> shape = window_shape(config);
  for (std::size_t n = 0; n < shape.size(); ++n) window[n] = static_cast<T>(0.5 * shape[n]);

  int length = half;
  int stride = 1;
  for (const int radix : radices_of(half, largest_radix)) {
    passes.push_back({radix, length / radix, Divisor(stride), Divisor(half / radix),
                      static_cast<std::int32_t>(twiddles.size() / 2)});
    for (int j = 1; j < radix; ++j) {
      for (int p = 0; p < length / radix; ++p) push_root(twiddles, static_cast<std::int64_t>(p) * j, length);
    }
    length /= radix;
    stride *= radix;
  }
  for (int k = 0; k < half; ++k) push_root(roots, k, half);
  for (int k = 0; k <= half / 2; ++k) push_root(unpack, k, config.n_fft);

  for (const MelBand& band : mel_filter_bank(config, mel_edges_hz(config))) {
    constexpr std::size_t kGroup = 4;
    const std::size_t groups = (band.weights.size() + kGroup - 1) / kGroup;
    bands.push_back({band.first_bin, static_cast<std::int32_t>(groups), static_cast<std::int32_t>(weights.size()), 0});
    for (std::size_t i = 0; i < groups * kGroup; ++i) {
      weights.push_back(i < band.weights.size() ? static_cast<T>(band.weights[i]) : T{0});
    }
  }

  scale.assign(static_cast<std::size_t>(config.n_mels), T{1});
  shift.assign(static_cast<std::size_t>(config.n_mels), T{0});
  if (config.normalisation == Normalisation::fixed) {
    for (std::size_t m = 0; m < scale.size(); ++m) {
      const double mean = config.mean[config.mean.size() == 1 ? 0 : m];
      const double std = config.std[config.std.size() == 1 ? 0 : m];
      scale[m] = static_cast<T>(1.0 / std);
      shift[m] = static_cast<T>(-mean / std);
    }
  }
}

template struct LogMelTables<float>;
template struct LogMelTables<double>;

}  // namespace streamsed
