#pragma once

// Windows of any even length, and double precision: the frame lies in shared memory, where each pass of the FFT reads
// one buffer and writes the other.

#include <cstdint>

#include "cuda/kernel.hpp"
#include "frontend/lane_fft.cuh"
#include "frontend/log_mel_frames.cuh"

namespace streamsed::log_mel_lanes {

constexpr int kAnyBlock = 128;
constexpr int kAnyBlocks = 6;  // on a multiprocessor: 80 registers a thread

// Complex values of either of the two buffers between which the passes go back and forth, which also hold spectra.
__host__ __device__ constexpr int any_buffer(int half, int frames) {
  const int spectra = ((half + 1 + kBinsBehind) * (frames | 1) + 1) / 2;
  return frames * half > spectra ? frames * half : spectra;
}

template <int R, class T>
__device__ __forceinline__ void any_butterfly(const TablePass& pass, const Complex<T>* __restrict__ twiddles,
                                              const Complex<T>* from, Complex<T>* to, int p, int q) {
  const int columns = pass.columns;
  const int stride = pass.stride.number();
  Complex<T> x[R];
#pragma unroll
  for (int j = 0; j < R; ++j) x[j] = from[q + stride * (p + columns * j)];
  lane_fft::dft<R>(x);
#pragma unroll
  for (int j = 1; j < R; ++j) x[j] = lane_fft::mul(x[j], __ldg(twiddles + (j - 1) * columns + p));
#pragma unroll
  for (int j = 0; j < R; ++j) to[q + stride * (R * p + j)] = x[j];
}

// A prime radix without a butterfly of its own: the sum as written, O(R²).
template <class T>
__device__ __forceinline__ void prime_butterfly(const TablePass& pass, const Complex<T>* __restrict__ twiddles,
                                                const Complex<T>* __restrict__ roots, int half, const Complex<T>* from,
                                                Complex<T>* to, int p, int q) {
  const int columns = pass.columns;
  const int stride = pass.stride.number();
  for (int j = 0; j < pass.radix; ++j) {
    Complex<T> sum = from[q + stride * p];
    int power = 0;
    for (int i = 1; i < pass.radix; ++i) {
      power += j;
      if (power >= pass.radix) power -= pass.radix;
      const Complex<T> root = __ldg(roots + power * (half / pass.radix));
      sum = lane_fft::add(sum, lane_fft::mul(from[q + stride * (p + columns * i)], root));
    }
    if (j > 0) sum = lane_fft::mul(sum, __ldg(twiddles + (j - 1) * columns + p));
    to[q + stride * (pass.radix * p + j)] = sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kAnyBlock, kAnyBlocks) log_mel_any(const Parameters<T> parameters) {
  const int half = parameters.half.number();
  const int frames = parameters.frames_per_block;
  Complex<T>* from = cuda::shared_memory<Complex<T>>();
  Complex<T>* to = from + any_buffer(half, frames);

  const Place place = find_place(parameters);
  const LaneSamples samples(parameters.works[place.work]);
  admit(parameters, samples, place, 0, 0, false);
  if (place.frames == 0) return;

  const auto thread = static_cast<int>(threadIdx.x);
  for (int item = thread; item < frames * half; item += kAnyBlock) {
    const int frame = parameters.half.quotient(item);
    const int n = 2 * (item - frame * half);
    const std::int64_t at = (place.first_frame + frame) * parameters.hop + n;
    Complex<T> pair = {0, 0};
    if (n < parameters.window_length) {
      pair.x = static_cast<T>(samples.at(at)) * __ldg(parameters.window + n);
      pair.y = static_cast<T>(samples.at(at + 1)) * __ldg(parameters.window + n + 1);
    }
    from[item] = pair;
  }
  for (int number = 0; number < parameters.pass_count; ++number) {
    const TablePass pass = parameters.passes[number];
    const Complex<T>* const twiddles = parameters.twiddles + pass.twiddles;
    const int butterflies = pass.butterflies.number();
    __syncthreads();
    for (int item = thread; item < frames * butterflies; item += kAnyBlock) {
      const int frame = pass.butterflies.quotient(item);
      const int butterfly = item - frame * butterflies;
      const int p = pass.stride.quotient(butterfly);
      const int q = butterfly - p * pass.stride.number();
      const Complex<T>* const x = from + frame * half;
      Complex<T>* const y = to + frame * half;
      switch (pass.radix) {
        case 2:
          any_butterfly<2, T>(pass, twiddles, x, y, p, q);
          break;
        case 3:
          any_butterfly<3, T>(pass, twiddles, x, y, p, q);
          break;
        case 4:
          any_butterfly<4, T>(pass, twiddles, x, y, p, q);
          break;
        case 5:
          any_butterfly<5, T>(pass, twiddles, x, y, p, q);
          break;
        case 8:
          any_butterfly<8, T>(pass, twiddles, x, y, p, q);
          break;
        default:
          prime_butterfly<T>(pass, twiddles, parameters.roots, half, x, y, p, q);
          break;
      }
    }
    Complex<T>* const other = from;
    from = to;
    to = other;
  }
  __syncthreads();

  T* const spectrum = reinterpret_cast<T*>(to);
  const int pitch = frames | 1;
  const int pairs = parameters.pairs.number();
  for (int item = thread; item < frames * pairs; item += kAnyBlock) {
    const int frame = parameters.pairs.quotient(item);
    const int k = item - frame * pairs;
    const Complex<T>* const z = from + frame * half;
    T low;
    T high;
    unpack_pair(z[k], z[k == 0 ? 0 : half - k], __ldg(parameters.unpack + k), low, high);
    if (parameters.magnitude) {
      low = sqrt(low);
      high = sqrt(high);
    }
    spectrum[k * pitch + frame] = low;
    spectrum[(half - k) * pitch + frame] = high;
  }
  for (int item = thread; item < frames * kBinsBehind; item += kAnyBlock) {
    spectrum[(half + 1 + item / frames) * pitch + item % frames] = 0;
  }
  __syncthreads();
  mel_bands(parameters, spectrum, pitch, frames, place.frames,
            parameters.works[place.work].out + place.first_frame * parameters.n_mels);
}

}  // namespace streamsed::log_mel_lanes
