// What the tests of log-mel lanes share, on the CPU and on a GPU: sounds, and calls whose outputs are NaN until
// written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "frontend/log_mel.hpp"
#include "frontend/log_mel_lanes.hpp"

namespace streamsed {

inline std::vector<float> noise(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, 0.1f);
  std::vector<float> samples(n);
  for (float& value : samples) value = normal(generator);
  return samples;
}

inline LogMelConfig config_of(int n_fft, int window, int hop, int n_mels) {
  LogMelConfig config;
  config.n_fft = n_fft;
  config.window_length = window;
  config.hop_length = hop;
  config.n_mels = n_mels;
  return config;
}

// One call over the given lanes, each with its own chunk; returns the frames of each.
inline std::vector<std::vector<float>> process(LogMelLanes& lanes, const std::vector<int>& numbers,
                                               const std::vector<std::vector<float>>& samples,
                                               std::vector<std::int64_t>* bad = nullptr) {
  std::vector<std::vector<float>> out(numbers.size());
  std::vector<LaneChunk> chunks;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto count = static_cast<std::int64_t>(samples[i].size());
    const auto values = lanes.frames_after(numbers[i], count) * lanes.log_mel().config().n_mels;
    out[i].resize(static_cast<std::size_t>(values), std::numeric_limits<float>::quiet_NaN());
    chunks.push_back({numbers[i], samples[i].data(), count, out[i].data()});
  }
  lanes.process(chunks, Memory::host, Memory::host);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    if (bad != nullptr) bad->push_back(chunks[i].bad);
    if (chunks[i].bad >= 0) out[i].clear();
  }
  return out;
}

inline std::vector<float> process(OnlineLogMel& online, const std::vector<float>& samples) {
  const auto count = static_cast<std::int64_t>(samples.size());
  std::vector<float> out(static_cast<std::size_t>(online.frames_after(count) * online.log_mel().config().n_mels));
  online.process(samples.data(), count, out.data());
  return out;
}

}  // namespace streamsed
