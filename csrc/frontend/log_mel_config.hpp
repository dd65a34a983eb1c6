#pragma once

#include <cstdint>
#include <vector>

namespace streamsed {

enum class WindowShape { hann, hamming };
enum class MelScale { slaney, htk };
enum class Spectrum { power, magnitude };
enum class LogKind { ln, db, none };
enum class Normalisation { none, fixed, running };
enum class Precision { float32, float64 };

// The log-mel front-end; every field is described in streamsed/config.py, whose LogMelConfig mirrors it.
struct LogMelConfig {
  int sample_rate = 16000;
  int n_fft = 512;
  int window_length = 512;
  int hop_length = 160;
  int n_mels = 64;
  double f_min = 0.0;
  double f_max = 8000.0;
  double warp_factor = 1.0;
  double warp_high_hz = 4800.0;  // make_config: 0.6 of half the sample rate unless given
  WindowShape window = WindowShape::hann;
  bool periodic = true;
  MelScale mel_scale = MelScale::slaney;
  bool area_norm = true;
  Spectrum spectrum = Spectrum::power;
  LogKind log = LogKind::ln;
  double floor = 1e-10;
  double clamp_min;  // -infinity: none
  double clamp_max;  // +infinity: none
  Normalisation normalisation = Normalisation::none;
  std::vector<double> mean;
  std::vector<double> std;
  double running_seconds = 10.0;
  bool center = false;
  Precision precision = Precision::float32;

  LogMelConfig();

  // Throws ConfigError naming the first field that cannot be used.
  void validate() const;

  // Frames that lie wholly inside `samples` samples (after the padding, when centred).
  std::int64_t frame_count(std::int64_t samples) const;

  // Zeros that the centred convention puts on either side; 0 otherwise.
  std::int64_t center_padding() const;
};

}  // namespace streamsed
