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
  for (std::int64_t t = 0; t < work.frames; ++t) {
    const double seen = static_cast<double>(work.frames_before + t + 1);
    const double rate = parameters.warm_up ? max(parameters.rate, 1.0 / seen) : parameters.rate;
    float& value = work.out[t * parameters.n_mels + band];
    const double difference = static_cast<double>(value) - mean;
    const double step = rate * difference;
    mean += step;
    variance = (1.0 - rate) * (variance + difference * step);
    value = static_cast<float>((static_cast<double>(value) - mean) / sqrt(variance + kLeastVariance));
  }
  state[0] = mean;
  state[1] = variance;
}

}  // namespace streamsed::log_mel_lanes
