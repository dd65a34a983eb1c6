#pragma once

// What every log-mel kernel of a device does: find the frames of a block, look at the samples and keep those that the
// next chunk needs, and from a spectrum on the mel bands and the logarithm.

#include <cstdint>

#include "cuda/kernel.hpp"
#include "frontend/lane_fft.cuh"
#include "frontend/log_mel_tables.hpp"

namespace streamsed::log_mel_lanes {

using lane_fft::Complex;

// What a chunk of one lane means to the kernels. Its frames are made of `kept` samples of earlier chunks, then of what
// follows the first `skipped` ones of the chunk: together `length` samples, sample f * hop the first of frame f.
struct LaneWork {
  const float* chunk;
  std::int64_t count;
  std::int64_t skipped;
  const float* kept;
  float* next_kept;  // where those that the next chunk needs go; never where `kept` leads
  std::int64_t kept_count;
  std::int64_t length;
  std::int64_t frames;
  float* out;
  std::int64_t frames_before;  // for running statistics: frames since the reset
  std::int64_t lane;
  std::int64_t first_block;
};

constexpr unsigned long long kAllFinite = ~0ULL;

template <class T>
struct Parameters {
  const LaneWork* works;
  const std::int32_t* work_of_block;
  unsigned long long* bad;  // of each work: number of its first sample that is not finite
  int frames_per_block;
  int hop;
  int window_length;
  Divisor half;   // N
  Divisor pairs;  // of bins that mirror each other: N / 2 + 1
  const T* window;
  const TablePass* passes;
  int pass_count;
  const Complex<T>* twiddles;
  const Complex<T>* roots;
  const Complex<T>* unpack;
  int n_mels;
  const TableBand* bands;
  const T* weights;
  const T* scale;
  const T* shift;
  bool magnitude;
  bool logarithm;
  T log_factor;
  T floor;
  T clamp_min;
  T clamp_max;
};

// The work that a block belongs to, and which of its groups of frames the block has.
struct Place {
  int work;
  std::int64_t first_frame;
  int frames;
  bool last;
};

template <class T>
__device__ __forceinline__ Place find_place(const Parameters<T>& parameters) {
  const int number = parameters.work_of_block[blockIdx.x];
  const LaneWork& work = parameters.works[number];
  const std::int64_t first = (blockIdx.x - work.first_block) * parameters.frames_per_block;
  const std::int64_t rest = work.frames - first;
  const bool last = rest <= parameters.frames_per_block;
  return {number, first, last ? static_cast<int>(rest) : parameters.frames_per_block, last};
}

// The samples that frames are made of, counted from the first one that is kept; 0 behind the last one.
struct LaneSamples {
  const float* kept;
  const float* chunk;
  std::int64_t kept_count;
  std::int64_t offset;  // what is sample i here is sample i + offset of the chunk
  std::int64_t length;

  __device__ __forceinline__ explicit LaneSamples(const LaneWork& work)
      : kept(work.kept),
        chunk(work.chunk),
        kept_count(work.kept_count),
        offset(work.skipped - work.kept_count),
        length(work.length) {}

  // Not for a lane without any. There is no branch before the load, so that several can be under way.
  __device__ __forceinline__ float at(std::int64_t i) const {
    const std::int64_t there = min(i, length - 1);
    const float value = *(there < kept_count ? kept + there : chunk + (there + offset));
    return i < length ? value : 0.0F;
  }
};

__device__ __forceinline__ bool is_finite(float x) { return fabsf(x) <= 3.402823466e38F; }

__device__ __forceinline__ void check_range(const float* chunk, std::int64_t from, std::int64_t to,
                                            unsigned long long* bad) {
  for (std::int64_t i = from + threadIdx.x; i < to; i += blockDim.x) {
    if (!is_finite(chunk[i])) atomicMin(bad, static_cast<unsigned long long>(i));
  }
}

// Each block answers for its own part of the chunk, from the first sample of its first frame to the next block's; the
// first one also for what is skipped, the last one for all the rest, of which it keeps what the next chunk needs.
// Samples [staged_from, staged_to), as LaneSamples counts, were found to be finite unless `suspicious`.
template <class T>
__device__ __forceinline__ void admit(const Parameters<T>& parameters, const LaneSamples& samples, const Place& place,
                                      std::int64_t staged_from, std::int64_t staged_to, bool suspicious) {
  unsigned long long* bad = parameters.bad + place.work;
  const LaneWork& work = parameters.works[place.work];
  const std::int64_t hop = parameters.hop;
  const std::int64_t next = place.first_frame + place.frames;
  const auto in_chunk = [&](std::int64_t i) { return max(i + samples.offset, std::int64_t{0}); };
  const std::int64_t from = place.first_frame == 0 ? 0 : in_chunk(place.first_frame * hop);
  const std::int64_t to = place.last ? work.count : min(in_chunk(next * hop), work.count);
  if (suspicious || staged_from == staged_to) {
    check_range(samples.chunk, from, to, bad);
  } else {
    check_range(samples.chunk, from, min(to, in_chunk(staged_from)), bad);
    check_range(samples.chunk, max(from, in_chunk(staged_to)), to, bad);
  }
  if (!place.last) return;
  float* const kept = work.next_kept;
  for (std::int64_t i = threadIdx.x; i < samples.length - next * hop; i += blockDim.x) {
    kept[i] = samples.at(next * hop + i);
  }
}

// Of numbers that are at least the floor, so neither 0 nor denormal. The quick logarithm is off by 4e-7 at most.
__device__ __forceinline__ float natural_log(float x) { return __logf(x); }
__device__ __forceinline__ double natural_log(double x) { return log(x); }

template <class T>
__device__ __forceinline__ T finish(const Parameters<T>& parameters, T mel, int band) {
  if (parameters.logarithm) mel = natural_log(max(mel, parameters.floor)) * parameters.log_factor;
  mel = min(max(mel, parameters.clamp_min), parameters.clamp_max);
  return mel * __ldg(parameters.scale + band) + __ldg(parameters.shift + band);
}

__device__ __forceinline__ void load_four(const float* __restrict__ from, float (&to)[4]) {
  const float4 value = __ldg(reinterpret_cast<const float4*>(from));
  to[0] = value.x;
  to[1] = value.y;
  to[2] = value.z;
  to[3] = value.w;
}
__device__ __forceinline__ void load_four(const double* __restrict__ from, double (&to)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) to[i] = __ldg(from + i);
}

// Spectra of `frames` frames, bin by bin at `pitch`, times the filter bank. Neighbouring threads have the same band of
// neighbouring frames, so that they wait for the same weights and no two of them for the same bank.
template <class T>
__device__ __forceinline__ void mel_bands(const Parameters<T>& parameters, const T* spectrum, int pitch, int frames,
                                          int wanted, float* out) {
  const auto thread = static_cast<int>(threadIdx.x);
  const int frame = thread % frames;
  if (frame >= wanted) return;
  const int step = static_cast<int>(blockDim.x) / frames;
  for (int band = thread / frames; band < parameters.n_mels; band += step) {
    const TableBand row = parameters.bands[band];
    const T* weights = parameters.weights + row.weights;
    const T* bins = spectrum + row.first_bin * pitch + frame;
    T sum[4] = {};
    for (int group = 0; group < row.groups; ++group) {
      T w[4];
      load_four(weights, w);
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[i] += w[i] * bins[i * pitch];
      weights += 4;
      bins += 4 * pitch;
    }
    const T mel = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    out[static_cast<std::int64_t>(frame) * parameters.n_mels + band] =
        static_cast<float>(finish(parameters, mel, band));
  }
}

// |X[k]|² and |X[N - k]|² of Z[k], Z[N - k] and w_{2N}^k.
template <class C, class T>
__device__ __forceinline__ void unpack_pair(C a, C b, C w, T& low, T& high) {
  const C e = {a.x + b.x, a.y - b.y};
  const C o = lane_fft::mul(C{a.y + b.y, b.x - a.x}, w);
  const C sum = lane_fft::add(e, o);
  const C difference = lane_fft::sub(e, o);
  low = sum.x * sum.x + sum.y * sum.y;
  high = difference.x * difference.x + difference.y * difference.y;
}

// Groups of four bins of the last bands read up to three bins behind the last one.
constexpr int kBinsBehind = 3;

}  // namespace streamsed::log_mel_lanes
