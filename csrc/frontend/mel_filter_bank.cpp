#include "frontend/mel_filter_bank.hpp"

#include <algorithm>
#include <cmath>

namespace streamsed {
namespace {
// Slaney's scale: linear below 1 kHz (66.67 Hz a mel), then 27 steps for each factor of 6.4.
constexpr double kLinearHzPerMel = 200.0 / 3.0;
constexpr double kBreakHz = 1000.0;
const double kLogStep = std::log(6.4) / 27.0;
}  // namespace

double hz_to_mel(double hz, MelScale scale) {
  if (scale == MelScale::htk) return 2595.0 * std::log10(1.0 + hz / 700.0);
  if (hz < kBreakHz) return hz / kLinearHzPerMel;
  return kBreakHz / kLinearHzPerMel + std::log(hz / kBreakHz) / kLogStep;
}

double mel_to_hz(double mel, MelScale scale) {
  if (scale == MelScale::htk) return 700.0 * (std::pow(10.0, mel / 2595.0) - 1.0);
  const double break_mel = kBreakHz / kLinearHzPerMel;
  if (mel < break_mel) return mel * kLinearHzPerMel;
  return kBreakHz * std::exp(kLogStep * (mel - break_mel));
}

double warp_hz(double hz, double factor, double high_hz, double nyquist) {
  const double mapped = high_hz * std::min(factor, 1.0);
  const double bend = mapped / factor;
  if (hz <= bend) return factor * hz;
  return nyquist - (nyquist - mapped) / (nyquist - bend) * (nyquist - hz);
}

std::vector<double> mel_edges_hz(const LogMelConfig& config) {
  const double low = hz_to_mel(config.f_min, config.mel_scale);
  const double high = hz_to_mel(config.f_max, config.mel_scale);
  std::vector<double> edges(static_cast<std::size_t>(config.n_mels) + 2);
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const double mel = low + (high - low) * static_cast<double>(i) / static_cast<double>(edges.size() - 1);
    edges[i] = mel_to_hz(mel, config.mel_scale);
    // Without a warp the edges stay as they are, to the last bit.
    if (config.warp_factor != 1.0) {
      edges[i] = warp_hz(edges[i], config.warp_factor, config.warp_high_hz, 0.5 * config.sample_rate);
    }
  }
  return edges;
}

std::vector<MelBand> mel_filter_bank(const LogMelConfig& config, const std::vector<double>& edges_hz) {
  const int bins = config.n_fft / 2 + 1;
  std::vector<MelBand> bank(static_cast<std::size_t>(config.n_mels));
  for (std::size_t m = 0; m < bank.size(); ++m) {
    const double low = edges_hz[m];
    const double peak = edges_hz[m + 1];
    const double high = edges_hz[m + 2];
    const double scale = config.area_norm ? 2.0 / (high - low) : 1.0;
    MelBand& band = bank[m];
    for (int k = 0; k < bins; ++k) {
      const double hz = static_cast<double>(k) * config.sample_rate / config.n_fft;
      const double weight = scale * std::min((hz - low) / (peak - low), (high - hz) / (high - peak));
      if (weight <= 0.0) {
        if (!band.weights.empty()) break;
        continue;
      }
      if (band.weights.empty()) band.first_bin = k;
      band.weights.push_back(weight);
    }
  }
  return bank;
}

}  // namespace streamsed
