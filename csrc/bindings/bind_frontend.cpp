#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/errors.hpp"
#include "bindings/bindings.hpp"
#include "bindings/samples.hpp"
#include "frontend/log_mel.hpp"
#include "frontend/mel_filter_bank.hpp"

namespace py = pybind11;

namespace streamsed::bindings {
namespace {

template <class Enum>
Enum parse(const char* parameter, const char* expected, const std::string& value,
           std::initializer_list<std::pair<const char*, Enum>> names) {
  for (const auto& [name, result] : names) {
    if (value == name) return result;
  }
  fail_config(parameter, expected, "'" + value + "'");
}

LogMelConfig make_config(int sample_rate, int n_fft, int window_length, int hop_length, int n_mels, double f_min,
                         std::optional<double> f_max, double warp_factor, std::optional<double> warp_high_hz,
                         const std::string& window, bool periodic, const std::string& mel_scale, bool area_norm,
                         const std::string& spectrum, const std::string& log, double floor,
                         std::optional<double> clamp_min, std::optional<double> clamp_max,
                         const std::string& normalisation, std::vector<double> mean, std::vector<double> std,
                         double running_seconds, bool center, const std::string& precision) {
  LogMelConfig config;
  config.sample_rate = sample_rate;
  config.n_fft = n_fft;
  config.window_length = window_length;
  config.hop_length = hop_length;
  config.n_mels = n_mels;
  config.f_min = f_min;
  config.f_max = f_max.value_or(0.5 * sample_rate);
  config.warp_factor = warp_factor;
  // 4800 Hz of 8000, as in the paper that the warp is from.
  config.warp_high_hz = warp_high_hz.value_or(0.6 * 0.5 * sample_rate);
  config.window = parse<WindowShape>("window", "hann or hamming", window,
                                     {{"hann", WindowShape::hann}, {"hamming", WindowShape::hamming}});
  config.periodic = periodic;
  config.mel_scale =
      parse<MelScale>("mel_scale", "slaney or htk", mel_scale, {{"slaney", MelScale::slaney}, {"htk", MelScale::htk}});
  config.area_norm = area_norm;
  config.spectrum = parse<Spectrum>("spectrum", "power or magnitude", spectrum,
                                    {{"power", Spectrum::power}, {"magnitude", Spectrum::magnitude}});
  config.log =
      parse<LogKind>("log", "ln, db or none", log, {{"ln", LogKind::ln}, {"db", LogKind::db}, {"none", LogKind::none}});
  config.floor = floor;
  if (clamp_min) config.clamp_min = *clamp_min;
  if (clamp_max) config.clamp_max = *clamp_max;
  config.normalisation = parse<Normalisation>(
      "normalisation", "none, fixed or running", normalisation,
      {{"none", Normalisation::none}, {"fixed", Normalisation::fixed}, {"running", Normalisation::running}});
  config.mean = std::move(mean);
  config.std = std::move(std);
  config.running_seconds = running_seconds;
  config.center = center;
  config.precision = parse<Precision>("precision", "float32 or float64", precision,
                                      {{"float32", Precision::float32}, {"float64", Precision::float64}});
  return config;
}

void check_finite(const float* data, std::int64_t count) {
  // Exponent bits all set means Inf or NaN; integer arithmetic vectorises without -ffast-math.
  std::uint32_t found = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, data + i, sizeof(bits));
    found |= static_cast<std::uint32_t>((bits & 0x7f800000u) == 0x7f800000u);
  }
  if (found == 0) return;
  std::int64_t at = 0;
  while (std::isfinite(data[at])) ++at;
  fail_config("samples", "finite values", detail::concat(data[at], " at position ", at));
}

Samples finite_samples(const py::array& array) {
  Samples samples = take_samples(array);
  check_finite(samples.data, samples.count);
  return samples;
}

py::array_t<float> empty_frames(std::int64_t count, int n_mels) {
  return py::array_t<float>(
      std::vector<py::ssize_t>{static_cast<py::ssize_t>(count), static_cast<py::ssize_t>(n_mels)});
}

py::array_t<float> run_offline(const LogMel& log_mel, const py::array& array) {
  const Samples samples = finite_samples(array);
  const LogMelConfig& config = log_mel.config();
  const std::int64_t padding = config.center_padding();
  std::int64_t count = config.frame_count(samples.count);
  py::array_t<float> out = empty_frames(count, config.n_mels);
  float* const to = out.mutable_data();
  {
    const py::gil_scoped_release release;
    LogMel::Scratch scratch(log_mel);
    const float* from = samples.data;
    std::vector<float> padded;
    if (padding > 0 && count > 0) {
      const std::int64_t needed = (count - 1) * config.hop_length + config.window_length;
      padded.assign(static_cast<std::size_t>(std::max(needed, padding + samples.count)), 0.0f);
      std::copy_n(samples.data, samples.count, padded.data() + padding);
      from = padded.data();
    }
    log_mel.compute(from, count, scratch, to);
    if (config.normalisation == Normalisation::running) RunningNormalisation(config).apply(to, count);
  }
  return out;
}

py::array_t<float> run_online(OnlineLogMel& online, const py::array& array) {
  const Samples samples = finite_samples(array);
  const BusyFlag::Guard guard(online.busy(), "OnlineLogMel");
  const std::int64_t count = online.frames_after(samples.count);
  py::array_t<float> out = empty_frames(count, online.log_mel().config().n_mels);
  float* const to = out.mutable_data();
  // Handing the GIL over costs more than a few frames do.
  constexpr std::int64_t kFramesWorthReleasing = 8;
  if (count >= kFramesWorthReleasing) {
    const py::gil_scoped_release release;
    online.process(samples.data, samples.count, to);
  } else {
    online.process(samples.data, samples.count, to);
  }
  return out;
}

}  // namespace

void bind_frontend(py::module_& m) {
  py::class_<LogMel, std::shared_ptr<LogMel>>(m, "LogMel", "Plan of one log-mel front-end; const, shared by streams.")
      .def(py::init([](int sample_rate, int n_fft, int window_length, int hop_length, int n_mels, double f_min,
                       std::optional<double> f_max, double warp_factor, std::optional<double> warp_high_hz,
                       const std::string& window, bool periodic, const std::string& mel_scale, bool area_norm,
                       const std::string& spectrum, const std::string& log, double floor,
                       std::optional<double> clamp_min, std::optional<double> clamp_max,
                       const std::string& normalisation, std::vector<double> mean, std::vector<double> std,
                       double running_seconds, bool center, const std::string& precision) {
             return std::make_shared<LogMel>(make_config(
                 sample_rate, n_fft, window_length, hop_length, n_mels, f_min, f_max, warp_factor, warp_high_hz, window,
                 periodic, mel_scale, area_norm, spectrum, log, floor, clamp_min, clamp_max, normalisation,
                 std::move(mean), std::move(std), running_seconds, center, precision));
           }),
           py::kw_only(), py::arg("sample_rate"), py::arg("n_fft"), py::arg("window_length"), py::arg("hop_length"),
           py::arg("n_mels"), py::arg("f_min"), py::arg("f_max"), py::arg("warp_factor"), py::arg("warp_high_hz"),
           py::arg("window"), py::arg("periodic"), py::arg("mel_scale"), py::arg("area_norm"), py::arg("spectrum"),
           py::arg("log"), py::arg("floor"), py::arg("clamp_min"), py::arg("clamp_max"), py::arg("normalisation"),
           py::arg("mean"), py::arg("std"), py::arg("running_seconds"), py::arg("center"), py::arg("precision"))
      .def("__call__", &run_offline, py::arg("samples"), "Log-mel (T, n_mels) float32 of samples (n,).")
      .def(
          "frame_count", [](const LogMel& self, std::int64_t samples) { return self.config().frame_count(samples); },
          py::arg("samples"), "Number of frames that so many samples give.")
      .def_property_readonly("empty_bands", &LogMel::empty_bands, "Bands that no FFT bin falls into.")
      .def_property_readonly(
          "isa", [](const LogMel& self) { return isa_name(self.isa()); }, "Instruction set of its kernels.");

  py::class_<OnlineLogMel>(m, "OnlineLogMel", "State of one stream of log-mel frames; one owner.")
      .def(py::init([](std::shared_ptr<LogMel> log_mel) { return std::make_unique<OnlineLogMel>(std::move(log_mel)); }),
           py::arg("log_mel"))
      .def("process", &run_online, py::arg("samples"),
           "Frames (t, n_mels) float32 that these samples (n,) complete; any n, 0 included.")
      .def(
          "flush",
          [](OnlineLogMel& self) {
            const BusyFlag::Guard guard(self.busy(), "OnlineLogMel");
            self.flush();
            return empty_frames(0, self.log_mel().config().n_mels);
          },
          "End the stream; an unfinished frame is no frame, so (0, n_mels). Then only reset() is legal.")
      .def(
          "reset",
          [](OnlineLogMel& self) {
            const BusyFlag::Guard guard(self.busy(), "OnlineLogMel");
            self.reset();
          },
          "Back to a new stream.")
      .def(
          "skip",
          [](OnlineLogMel& self, std::int64_t missing) {
            const BusyFlag::Guard guard(self.busy(), "OnlineLogMel");
            return self.skip(missing);
          },
          py::arg("missing_samples"),
          "Advance the clock over lost audio; returns the number of frames that do not exist.")
      .def_property_readonly("latency_samples", &OnlineLogMel::latency_samples,
                             "Samples after a frame's first one before it is known.")
      .def_property_readonly("position_samples", &OnlineLogMel::position_samples,
                             "Samples taken in, lost ones counted.")
      .def_property_readonly("position_frames", &OnlineLogMel::position_frames, "Number of the next frame.");
}

}  // namespace streamsed::bindings
