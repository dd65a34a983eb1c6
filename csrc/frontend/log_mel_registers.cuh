#pragma once

// Windows of 256 to 4096 points, a power of two, in single precision: the frame lies in registers.
//
// One pass over the sound: samples in, log-mel values out. Of n frames with hop h, window w and M bands
//
//   bytes moved  >= 4 n (h + M)                               (each sample read once, each value written once)
//   operations    ~ n (w + 5 N log2 N + 9 N + 4 sum of the bands' widths + 20 M),  N = n_fft / 2
//
// so with 16 kHz, 512 points, hop 160 and 64 bands 896 bytes and 17e3 operations a frame: 19 operations for a byte,
// where an H200 has 14 single precision operations for a byte. The kernel is held up by arithmetic and shared memory,
// not by global memory, and so keeps the frame in registers: 16 complex values a thread, two or three passes of radix
// 16, the exchange between them the only use of shared memory in the FFT (for 512 points 4 KB in and out of it a
// frame), the two halves of the spectrum brought together by shuffles. Samples come into shared memory once for all
// frames of a block.

#include <algorithm>
#include <cstdint>

#include "cuda/kernel.hpp"
#include "frontend/lane_fft.cuh"
#include "frontend/log_mel_frames.cuh"

namespace streamsed::log_mel_lanes {

// --------------------------------------

// `Threads` to a frame, 16 complex values each.
template <int Threads>
struct RegisterPlan {
  static constexpr int kHalf = 16 * Threads;
  static constexpr int kBlock = Threads > 64 ? 256 : 128;
  static constexpr int kFrames = kBlock / Threads;  // at the same time
  // Eight threads of one frame and eight of the next make half a warp and use different banks.
  static constexpr int kExchange = kHalf + (Threads < 16 ? 8 : 0);
  static constexpr int kPitch = kFrames | 1;
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

template <int Threads>
__global__ void __launch_bounds__(RegisterPlan<Threads>::kBlock) log_mel_registers(const Parameters<float> parameters) {
  using Plan = RegisterPlan<Threads>;
  constexpr int kHalf = Plan::kHalf;
  constexpr int kPitch = Plan::kPitch;
  float* const work_space = cuda::shared_memory<float>();
  float* const stage = work_space + Plan::kWork;

  const Place place = find_place(parameters);
  const LaneWork& work = parameters.works[place.work];
  const int hop = parameters.hop;
  const int apart = staged_hop(hop, parameters.window_length);
  const std::int64_t begin = place.first_frame * hop;
  if (place.frames == 0) {
    admit(parameters, work, place, 0, 0, false);
    return;
  }

  const int rounds = (place.frames + Plan::kFrames - 1) / Plan::kFrames;
  const int staged = staged_length(rounds * Plan::kFrames, hop, parameters.window_length, 2 * kHalf);
  bool finite = true;
  const auto thread = static_cast<int>(threadIdx.x);
  if (apart == hop && begin >= work.kept_count && begin + staged <= work.length) {
    const float* const from = work.chunk + (work.skipped + begin - work.kept_count);
#pragma unroll 4
    for (int i = thread; i < staged; i += Plan::kBlock) {
      const float value = from[i];
      finite = finite && is_finite(value);
      stage[i] = value;
    }
  } else {
    for (int i = thread; i < staged; i += Plan::kBlock) {
      const int frame = apart == hop ? 0 : min(i / apart, place.frames - 1);
      const float value = sample_at(work, begin + static_cast<std::int64_t>(frame) * hop + (i - frame * apart));
      finite = finite && is_finite(value);
      stage[i] = value;
    }
  }
  const bool suspicious = __syncthreads_or(finite ? 0 : 1) != 0;
  admit(parameters, work, place, begin, apart == hop ? begin + staged : begin, suspicious);

  const int slot = thread / Threads;
  const int t = thread % Threads;
  float2* const exchange = reinterpret_cast<float2*>(work_space) + slot * Plan::kExchange;
  const auto* const window = reinterpret_cast<const float2*>(parameters.window);
  for (int round = 0; round < rounds; ++round) {
    const float* const samples = stage + (round * Plan::kFrames + slot) * apart;
    float2 x[16];
    // Pairs of samples are one load where they lie on an even place.
    if ((round * Plan::kFrames + slot) * apart % 2 == 0) {
      const auto* const pairs = reinterpret_cast<const float2*>(samples);
#pragma unroll
      for (int c = 0; c < 16; ++c) {
        const float2 w = __ldg(window + t + Threads * c);
        const float2 pair = pairs[t + Threads * c];
        x[c] = {pair.x * w.x, pair.y * w.y};
      }
    } else {
#pragma unroll
      for (int c = 0; c < 16; ++c) {
        const float2 w = __ldg(window + t + Threads * c);
        x[c] = {samples[2 * (t + Threads * c)] * w.x, samples[2 * (t + Threads * c) + 1] * w.y};
      }
    }
    lane_fft::fft<Threads>(x, exchange, parameters.twiddles, t);

    // Z[N - k] for the lower half of k: of another thread, whose value 15 - c it is, but of thread 0 its own 16 - c.
    float2 mirrored[8];
    if constexpr (Threads <= 32) {
#pragma unroll
      for (int c = 0; c < 8; ++c) {
        const float2 given = t == 0 ? x[(16 - c) % 16] : x[15 - c];
        const int from = (Threads - t) % Threads;
        mirrored[c] = {__shfl_sync(0xFFFFFFFFU, given.x, from, Threads),
                       __shfl_sync(0xFFFFFFFFU, given.y, from, Threads)};
      }
    } else {
      __syncthreads();
#pragma unroll
      for (int c = 0; c < 16; ++c) exchange[lane_fft::swizzle(t) ^ lane_fft::swizzle(Threads * c)] = x[c];
      __syncthreads();
#pragma unroll
      for (int c = 0; c < 8; ++c) mirrored[c] = exchange[lane_fft::swizzle((kHalf - t - Threads * c) % kHalf)];
    }

    float* const spectrum = work_space + slot;
    __syncthreads();
#pragma unroll
    for (int c = 0; c < 8; ++c) {
      const int k = t + Threads * c;
      float low;
      float high;
      unpack_pair(parameters, x[c], mirrored[c], __ldg(parameters.unpack + k), low, high);
      spectrum[k * kPitch] = low;
      spectrum[(kHalf - k) * kPitch] = high;
    }
    if (t == 0) {
      float low;
      float high;
      unpack_pair(parameters, x[8], x[8], __ldg(parameters.unpack + kHalf / 2), low, high);
      spectrum[kHalf / 2 * kPitch] = low;
#pragma unroll
      for (int i = 1; i <= kBinsBehind; ++i) spectrum[(kHalf + i) * kPitch] = 0.0F;
    }
    __syncthreads();
    const std::int64_t first = place.first_frame + round * Plan::kFrames;
    mel_bands(parameters, work_space, kPitch, Plan::kFrames, place.frames - round * Plan::kFrames,
              work.out + first * parameters.n_mels);
    __syncthreads();
  }
}

}  // namespace streamsed::log_mel_lanes
