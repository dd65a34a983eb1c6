#pragma once

// Running normalisation of lanes: one thread for a band of a lane, frame after frame.

#include <cstdint>

#include "cuda/kernel.hpp"
#include "frontend/log_mel_frames.cuh"

namespace streamsed::log_mel_lanes {

struct RunningParameters {
  const LaneWork* works;
  const unsigned long long* bad;
  int n_mels;
  double rate;
  bool warm_up;
  const double* initial;  // mean and variance of each band
  double* state;          // the same of each lane
};

constexpr int kRunningBlock = 64;
// Values that are asked for at once, as each would take longer to come than to be used.
constexpr int kFramesAhead = 8;

// As RunningNormalisation::apply.
__global__ void __launch_bounds__(kRunningBlock) normalise_running(const RunningParameters parameters) {
  const LaneWork& work = parameters.works[blockIdx.x];
  const int band = static_cast<int>(blockIdx.y * kRunningBlock + threadIdx.x);
  if (band >= parameters.n_mels || work.frames == 0 || parameters.bad[blockIdx.x] != kAllFinite) return;
  constexpr double kLeastVariance = 1e-8;
  double* const state = parameters.state + (work.lane * parameters.n_mels + band) * 2;
  const double* const start = work.frames_before == 0 ? parameters.initial + band * 2 : state;
  double mean = start[0];
  double variance = start[1];
  float* const values = work.out + band;
  const std::int64_t frames = work.frames;
  const std::int64_t frames_before = work.frames_before;
  const int apart = parameters.n_mels;
  for (std::int64_t first = 0; first < frames; first += kFramesAhead) {
    const auto count = static_cast<int>(min(frames - first, std::int64_t{kFramesAhead}));
    float batch[kFramesAhead];
#pragma unroll
    for (int i = 0; i < kFramesAhead; ++i) batch[i] = i < count ? values[(first + i) * apart] : 0.0F;
#pragma unroll
    for (int i = 0; i < kFramesAhead; ++i) {
      if (i >= count) break;
      const auto value = static_cast<double>(batch[i]);
      const auto seen = static_cast<double>(frames_before + first + i + 1);
      const double rate = parameters.warm_up ? max(parameters.rate, 1.0 / seen) : parameters.rate;
      const double difference = value - mean;
      const double step = rate * difference;
      mean += step;
      variance = (1.0 - rate) * (variance + difference * step);
      values[(first + i) * apart] = static_cast<float>((value - mean) / sqrt(variance + kLeastVariance));
    }
  }
  state[0] = mean;
  state[1] = variance;
}

}  // namespace streamsed::log_mel_lanes
