#pragma once

// Windows of 256 to 4096 points, a power of two, in single precision: the frame lies in registers.
//
// One pass over the sound: samples in, log-mel values out. Of n frames with hop h, window w and M bands
//
//   bytes moved  >= 4 n (h + M)                               (each sample read once, each value written once)
//   operations    ~ n (w + 5 N log2 N + 9 N + 2 sum of the bands' widths + 8 M),  N = n_fft / 2
//
// so with 16 kHz, 512 points, hop 160 and 64 bands 896 bytes and 14.6e3 operations a frame: 16 operations for a byte,
// where an H200 has 14 in single precision (67e12 of them, if all are fused multiply-adds, for 4.8e12 bytes). The
// kernel is held up by arithmetic and shared memory, not by global memory. So the frame stays in registers, 16 complex
// values a thread: two passes, three from 1024 points on, of radix 16 or what is left for the last one. Shared memory
// carries, of 512 points, 4 KB of samples (in and out once) and 4 KB of exchange between the passes a frame, without
// two threads at one bank, and then the spectra; shuffles bring the two halves of a spectrum together. Samples come
// into it once for all frames of a block.

#include <algorithm>
#include <cstdint>

#include "cuda/kernel.hpp"
#include "frontend/lane_fft.cuh"
#include "frontend/log_mel_frames.cuh"

namespace streamsed::log_mel_lanes {

// `Threads` to a frame, 16 complex values each.
template <int Threads>
struct RegisterPlan {
  static constexpr int kHalf = 16 * Threads;
  static constexpr int kBlock = Threads > 64 ? 256 : 128;
  static constexpr int kFrames = kBlock / Threads;  // at the same time
  // Threads on a multiprocessor, which is as much as to say 80 registers each, or 128 where fewer would be spilled.
  static constexpr int kResident = Threads < 32 ? 768 : 512;
  // Eight threads of one frame and eight of the next make half a warp and use different banks.
  static constexpr int kExchange = kHalf + (Threads < 16 ? 8 : 0);
  // Of the distances between bins in the spectra, that with the fewest conflicts: none for writes, few for reads.
  static constexpr int kPitch = kFrames + std::max(kFrames / 4, 1);
  static constexpr int kSpectra = (kHalf + 1 + kBinsBehind) * kPitch;
  // In floats: spectra take the place of the exchange buffers.
  static constexpr int kWork = (std::max(2 * kFrames * kExchange, kSpectra) + 3) / 4 * 4;
};

// Samples between the frames of a block as they lie in shared memory: what no frame wants is left out.
__host__ __device__ constexpr int staged_hop(int hop, int window_length) {
  return hop < window_length ? hop : window_length;
}

// Behind the last window there are zeros up to n_fft.
__host__ __device__ constexpr int staged_length(int frames, int hop, int window_length, int n_fft) {
  return (frames - 1) * staged_hop(hop, window_length) + n_fft;
}

// A number that the compiler takes for a new one. What depends on it, tables and places in shared memory, is not
// computed before the loop over frames, as it would fill the registers that frames need.
__device__ __forceinline__ int renewed(int number) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+r"(number));
#endif
  return number;
}

// A square root that is not computed ahead in case it should be wanted, as the compiler otherwise does; to 2^-23.
__device__ __forceinline__ float optional_root(float x) {
#ifdef __CUDA_ARCH__
  float root;
  asm volatile("sqrt.approx.f32 %0, %1;" : "=f"(root) : "f"(x));
  return root;
#else
  return sqrtf(x);
#endif
}

// What the threads of a frame have found in its 16 · Threads points is in their x[c], Z[t + Threads · c]; into the
// place of the first nine values come the powers (or magnitudes) {|X[k]|², |X[N - k]|²}, k = t + Threads · c, those of
// the ninth one only in thread 0, where k = N / 2.
template <int Threads>
__device__ __forceinline__ void pair_spectrum(const Parameters<float>& parameters, float2 (&x)[16], float2* exchange,
                                              int t) {
  const auto unpack = [&](float2 z, float2 mirrored, int k) {
    float2 pair;
    unpack_pair(z, mirrored, __ldg(parameters.unpack + k), pair.x, pair.y);
    return pair;
  };
  // Z[N - k] belongs to another thread, whose value 15 - c it is, but of thread 0 its own 16 - c.
  if constexpr (Threads <= 32) {
    const int from = (Threads - t) % Threads;
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const float2 given = t == 0 ? x[(16 - c) % 16] : x[15 - c];
      const float2 mirrored = {__shfl_sync(0xFFFFFFFFU, given.x, from, Threads),
                               __shfl_sync(0xFFFFFFFFU, given.y, from, Threads)};
      x[c] = unpack(x[c], mirrored, t + Threads * c);
    }
  } else {
    constexpr int kHalf = 16 * Threads;
    __syncthreads();
#pragma unroll
    for (int c = 8; c < 16; ++c) exchange[lane_fft::swizzle(t) ^ lane_fft::swizzle(Threads * c)] = x[c];
    if (t == 0) exchange[0] = x[0];
    __syncthreads();
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const int k = t + Threads * c;
      x[c] = unpack(x[c], exchange[lane_fft::swizzle((kHalf - k) % kHalf)], k);
    }
  }
  x[8] = unpack(x[8], x[8], 8 * Threads);
  if (parameters.magnitude) {
#pragma unroll
    for (int c = 0; c <= 8; ++c) x[c] = {optional_root(x[c].x), optional_root(x[c].y)};
  }
}

// Brings values 0 to `count` into the stage; returns whether all are finite. Several loads are under way at a time.
template <int Block, class Load>
__device__ __forceinline__ bool stage_values(int count, float* stage, const Load& load) {
  constexpr int kAhead = 8;
  constexpr unsigned kMagnitude = 0x7FFFFFFFU;
  constexpr unsigned kInfinity = 0x7F800000U;
  unsigned largest = 0;
  for (int first = static_cast<int>(threadIdx.x); first < count; first += kAhead * Block) {
    float values[kAhead];
#pragma unroll
    for (int j = 0; j < kAhead; ++j) values[j] = load(min(first + j * Block, count - 1));
#pragma unroll
    for (int j = 0; j < kAhead; ++j) {
      largest = max(largest, __float_as_uint(values[j]) & kMagnitude);
      if (first + j * Block < count) stage[first + j * Block] = values[j];
    }
  }
  return largest < kInfinity;
}

// All samples of a block's frames, once.
template <int Block>
__device__ __forceinline__ bool stage_samples(const LaneSamples& samples, std::int64_t begin, int hop, int apart,
                                              int staged, int frames, float* stage) {
  if (apart != hop) {
    return stage_values<Block>(staged, stage, [&](int i) {
      const int frame = min(i / apart, frames - 1);
      return samples.at(begin + static_cast<std::int64_t>(frame) * hop + (i - frame * apart));
    });
  }
  if (begin >= samples.kept_count && begin + staged <= samples.length) {
    const float* const from = samples.chunk + (begin + samples.offset);
    return stage_values<Block>(staged, stage, [&](int i) { return from[i]; });
  }
  return stage_values<Block>(staged, stage, [&](int i) { return samples.at(begin + i); });
}

template <int Threads>
__global__ void __launch_bounds__(RegisterPlan<Threads>::kBlock,
                                  RegisterPlan<Threads>::kResident / RegisterPlan<Threads>::kBlock)
    log_mel_registers(const Parameters<float> parameters) {
  using Plan = RegisterPlan<Threads>;
  float* const work_space = cuda::shared_memory<float>();
  float* const stage = work_space + Plan::kWork;

  const Place place = find_place(parameters);
  const LaneSamples samples(parameters.works[place.work]);
  const int hop = parameters.hop;
  const int apart = staged_hop(hop, parameters.window_length);
  const std::int64_t begin = place.first_frame * hop;
  if (place.frames == 0) {
    admit(parameters, samples, place, 0, 0, false);
    return;
  }
  const int rounds = (place.frames + Plan::kFrames - 1) / Plan::kFrames;
  const int staged = staged_length(rounds * Plan::kFrames, hop, parameters.window_length, 2 * Plan::kHalf);
  const bool finite = stage_samples<Plan::kBlock>(samples, begin, hop, apart, staged, place.frames, stage);
  const bool suspicious = __syncthreads_or(finite ? 0 : 1) != 0;
  admit(parameters, samples, place, begin, apart == hop ? begin + staged : begin, suspicious);

  const auto thread = static_cast<int>(threadIdx.x);
  const int slot = thread / Threads;
  float2* const exchange = reinterpret_cast<float2*>(work_space) + slot * Plan::kExchange;
  float* out = parameters.works[place.work].out + place.first_frame * parameters.n_mels;
  for (int frame = slot; frame < rounds * Plan::kFrames; frame += Plan::kFrames) {
    const int t = renewed(thread % Threads);
    const auto* const window = reinterpret_cast<const float2*>(parameters.window);
    const float* const from = stage + frame * apart + 2 * t;
    float2 x[16];
    // A pair of samples is one load where every frame begins at an even place.
    if (apart % 2 == 0) {
#pragma unroll
      for (int c = 0; c < 16; ++c) x[c] = *reinterpret_cast<const float2*>(from + 2 * Threads * c);
    } else {
#pragma unroll
      for (int c = 0; c < 16; ++c) x[c] = {from[2 * Threads * c], from[2 * Threads * c + 1]};
    }
#pragma unroll
    for (int c = 0; c < 16; ++c) {
      const float2 w = __ldg(window + t + Threads * c);
      x[c] = {x[c].x * w.x, x[c].y * w.y};
    }
    lane_fft::fft<Threads>(x, exchange, parameters.twiddles, t);
    pair_spectrum<Threads>(parameters, x, exchange, t);

    __syncthreads();
    float* const spectrum = work_space + slot;
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const int k = t + Threads * c;
      spectrum[k * Plan::kPitch] = x[c].x;
      spectrum[(Plan::kHalf - k) * Plan::kPitch] = x[c].y;
    }
    if (t == 0) spectrum[Plan::kHalf / 2 * Plan::kPitch] = x[8].x;
    if (t < kBinsBehind) spectrum[(Plan::kHalf + 1 + t) * Plan::kPitch] = 0.0F;
    __syncthreads();
    mel_bands(parameters, work_space, Plan::kPitch, Plan::kFrames, place.frames - (frame - slot), out);
    out += Plan::kFrames * parameters.n_mels;
    __syncthreads();
  }
}

}  // namespace streamsed::log_mel_lanes
