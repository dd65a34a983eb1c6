#pragma once

#include <vector>

#include "frontend/log_mel_config.hpp"

namespace streamsed {

// Triangular mel filters, sparse: band m weighs bins [first_bin, first_bin + weights.size()).
struct MelBand {
  int first_bin = 0;
  std::vector<double> weights;
};

double hz_to_mel(double hz, MelScale scale);
double mel_to_hz(double mel, MelScale scale);

// Vocal tract length perturbation: `hz` times the factor up to a bend, and from there straight to half the sample rate,
// which stays where it is. The bend lies where neither it nor what it maps to is above `high_hz`.
// Source: Jaitly and Hinton, Vocal Tract Length Perturbation (VTLP) improves speech recognition (2013).
double warp_hz(double hz, double factor, double high_hz, double nyquist);

// The n_mels + 2 edge frequencies in Hz, equally spaced in mel, then warped.
std::vector<double> mel_edges_hz(const LogMelConfig& config);

// Filters between neighbouring edges over the n_fft / 2 + 1 bins of a real FFT.
// Source: Slaney, Auditory Toolbox (1998), as in librosa.filters.mel.
std::vector<MelBand> mel_filter_bank(const LogMelConfig& config, const std::vector<double>& edges_hz);

}  // namespace streamsed
