#include "frontend/frame_plan.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "frontend/log_mel_kernel.hpp"
#include "frontend/mel_filter_bank.hpp"

namespace streamsed {
namespace {

// w_n^k with the angle reduced first, so that large k lose nothing.
template <class T>
void push_root(AlignedVector<T>& out, std::int64_t k, std::int64_t n) {
  const double angle = -2.0 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n);
  out.push_back(static_cast<T>(std::cos(angle)));
  out.push_back(static_cast<T>(std::sin(angle)));
}

double root_re(std::int64_t k, std::int64_t n) {
  return std::cos(-2.0 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n));
}

double root_im(std::int64_t k, std::int64_t n) {
  return std::sin(-2.0 * std::numbers::pi * static_cast<double>(k % n) / static_cast<double>(n));
}

}  // namespace

std::vector<int> fft_radices(int n) {
  std::vector<int> radices;
  int twos = 0;
  while (n % 2 == 0) {
    n /= 2;
    ++twos;
  }
  // 8s where they come out even; a leftover of one factor 2 becomes 4·4 instead of 8·2.
  while (twos >= 3 && twos != 4) {
    radices.push_back(8);
    twos -= 3;
  }
  while (twos >= 2) {
    radices.push_back(4);
    twos -= 2;
  }
  if (twos == 1) radices.push_back(2);
  for (int p = 3; n > 1; p += 2) {
    while (n % p == 0) {
      radices.push_back(p);
      n /= p;
    }
    if (static_cast<std::int64_t>(p) * p > n && n > 1) {
      radices.push_back(n);
      n = 1;
    }
  }
  return radices;
}

std::vector<double> window_shape(const LogMelConfig& config) {
  const int length = config.window_length;
  const double period = config.periodic ? length : length - 1;
  const double a = config.window == WindowShape::hann ? 0.5 : 0.54;
  std::vector<double> window(static_cast<std::size_t>(length));
  for (int n = 0; n < length; ++n) {
    window[static_cast<std::size_t>(n)] = a - (1.0 - a) * std::cos(2.0 * std::numbers::pi * n / period);
  }
  return window;
}

template <class T>
FramePlan<T>::FramePlan(const LogMelConfig& config, Isa chosen)
    : isa(chosen),
      half(config.n_fft / 2),
      window_length(config.window_length),
      n_mels(config.n_mels),
      mel_lanes(native_lanes<T>(chosen)),
      magnitude(config.spectrum == Spectrum::magnitude),
      log(config.log),
      floor(static_cast<T>(config.floor)),
      clamp_min(static_cast<T>(config.clamp_min)),
      clamp_max(static_cast<T>(config.clamp_max)),
      affine(config.normalisation == Normalisation::fixed) {
  lanes = mel_lanes;
  while (half % lanes != 0) lanes /= 2;
  columns = half / lanes;
  columns_padded = (columns + lanes - 1) / lanes * lanes;

  window.assign(static_cast<std::size_t>(config.n_fft), T{0});
  const std::vector<double> shape = window_shape(config);
  for (std::size_t n = 0; n < shape.size(); ++n) window[n] = static_cast<T>(0.5 * shape[n]);

  int length = columns;
  int stride = 1;
  for (const int radix : fft_radices(columns)) {
    FftPass pass{radix, length, stride, pass_twiddles.size(), roots.size()};
    for (int p = 1; p < length / radix; ++p) {
      for (int j = 1; j < radix; ++j) push_root(pass_twiddles, static_cast<std::int64_t>(p) * j, length);
    }
    if (radix % 2 == 1 && radix > 5) {
      for (int i = 0; i < radix; ++i) push_root(roots, i, radix);
    }
    passes.push_back(pass);
    length /= radix;
    stride *= radix;
  }

  for (int k = 0; k < columns; ++k) {
    for (int l = 0; l < lanes; ++l)
      lane_twiddles.push_back(static_cast<T>(root_re(static_cast<std::int64_t>(k) * l, half)));
    for (int l = 0; l < lanes; ++l)
      lane_twiddles.push_back(static_cast<T>(root_im(static_cast<std::int64_t>(k) * l, half)));
  }
  for (int k = 0; k <= half / 2; k += lanes) {
    for (int l = 0; l < lanes; ++l)
      unpack.push_back(static_cast<T>(root_re(k + l, 2 * static_cast<std::int64_t>(half))));
    for (int l = 0; l < lanes; ++l)
      unpack.push_back(static_cast<T>(root_im(k + l, 2 * static_cast<std::int64_t>(half))));
  }

  const std::vector<MelBand> bank = mel_filter_bank(config, mel_edges_hz(config));
  for (int first = 0; first < n_mels; first += mel_lanes) {
    const int last = std::min(n_mels, first + mel_lanes);
    int low = half + 1;
    int high = 0;
    for (int m = first; m < last; ++m) {
      const MelBand& band = bank[static_cast<std::size_t>(m)];
      if (band.weights.empty()) {
        empty_bands.push_back(m);
        continue;
      }
      low = std::min(low, band.first_bin);
      high = std::max(high, band.first_bin + static_cast<int>(band.weights.size()));
    }
    if (high <= low) low = high = 0;
    const int bins = (high - low + 3) / 4 * 4;
    MelBlock block{low, bins, mel_weights.size()};
    mel_weights.resize(mel_weights.size() + static_cast<std::size_t>(bins) * static_cast<std::size_t>(mel_lanes), T{0});
    for (int m = first; m < last; ++m) {
      const MelBand& band = bank[static_cast<std::size_t>(m)];
      for (std::size_t i = 0; i < band.weights.size(); ++i) {
        const auto row = static_cast<std::size_t>(band.first_bin - low) + i;
        mel_weights[block.weights + row * static_cast<std::size_t>(mel_lanes) + static_cast<std::size_t>(m - first)] =
            static_cast<T>(band.weights[i]);
      }
    }
    blocks.push_back(block);
  }

  const std::size_t padded = blocks.size() * static_cast<std::size_t>(mel_lanes);
  scale.assign(padded, T{1});
  shift.assign(padded, T{0});
  if (affine) {
    for (std::size_t m = 0; m < static_cast<std::size_t>(n_mels); ++m) {
      const double mean = config.mean[config.mean.size() == 1 ? 0 : m];
      const double std = config.std[config.std.size() == 1 ? 0 : m];
      scale[m] = static_cast<T>(1.0 / std);
      shift[m] = static_cast<T>(-mean / std);
    }
  }
}

template <class T>
std::size_t FramePlan<T>::fft_buffer_size() const {
  // The last transposed block may store up to `lanes` values behind the end; one more for Z[N] = Z[0].
  const auto n = static_cast<std::size_t>(columns_padded) * static_cast<std::size_t>(lanes);
  return (std::max(n, static_cast<std::size_t>(half)) + static_cast<std::size_t>(lanes) * 2 + 31) / 16 * 16;
}

template <class T>
std::size_t FramePlan<T>::power_buffer_size() const {
  // Rows of zero weights read up to 3 bins behind the last one; the unpacking writes whole vectors.
  return (static_cast<std::size_t>(half) + 1 + static_cast<std::size_t>(lanes) + 4 + 31) / 16 * 16;
}

template <class T>
std::size_t FramePlan<T>::scratch_size() const {
  return 4 * fft_buffer_size() + kFramesPerBlock * power_buffer_size() + 64;
}

template <>
int native_lanes<float>(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return 16;
    case Isa::avx2:
      return 8;
    case Isa::neon:
    case Isa::baseline:
      break;
  }
  return 4;
}

template <>
int native_lanes<double>(Isa isa) {
  return native_lanes<float>(isa) / 2;
}

template <class T>
FrameKernel<T> frame_kernel(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx512:
      return &isa_avx512::log_mel_frames<T>;
    case Isa::avx2:
      return &isa_avx2::log_mel_frames<T>;
    case Isa::neon:
    case Isa::baseline:
      break;
  }
  return &isa_baseline::log_mel_frames<T>;
#elif defined(__aarch64__)
    default:
      return &isa_neon::log_mel_frames<T>;
  }
#else
    default:
      return &isa_baseline::log_mel_frames<T>;
  }
#endif
}

template struct FramePlan<float>;
template struct FramePlan<double>;
template FrameKernel<float> frame_kernel<float>(Isa);
template FrameKernel<double> frame_kernel<double>(Isa);

}  // namespace streamsed
