#include <pybind11/pybind11.h>
#include <pybind11/typing.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "audio/resampler.hpp"
#include "audio/signal_monitor.hpp"
#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/owned.hpp"

namespace py = pybind11;

namespace streamsed::bindings {
namespace {

using Monitor = Owned<SignalMonitor>;
using Findings = py::typing::List<py::typing::Tuple<int, std::int64_t>>;

py::typing::Tuple<FloatArray, Findings> process(Monitor& monitor, const py::object& samples, std::int64_t position) {
  const FloatArray array = float_array(samples, "samples", "a float array (n, channels)", {2});
  const std::int64_t frames = array.shape(0);
  const std::int64_t channels = array.shape(1);
  require(channels > 0, "samples", "one channel or more", channels);
  return monitor.use("SignalMonitor", [&](SignalMonitor& stage) {
    const float* data = array.data();
    const float* usable = stage.process(data, frames, static_cast<int>(channels), position);
    Findings findings;
    for (const SignalFinding& finding : stage.findings()) {
      findings.append(py::make_tuple(static_cast<int>(finding.condition), finding.position));
    }
    if (usable == data) return py::typing::Tuple<FloatArray, Findings>(py::make_tuple(array, findings));
    FloatArray replaced({frames, channels});
    std::copy(usable, usable + frames * channels, replaced.mutable_data());
    return py::typing::Tuple<FloatArray, Findings>(py::make_tuple(replaced, findings));
  });
}

std::shared_ptr<PolyphaseTaps> make_taps(const py::object& table, std::int64_t down) {
  const FloatArray array = float_array(table, "table", "a float array (up, taps)", {2});
  return std::make_shared<PolyphaseTaps>(std::vector<float>(array.data(), array.data() + array.size()), array.shape(0),
                                         down);
}

using Resampling = Owned<Resampler>;

// No conversion here: what is not float32 at this point has come past streamsed.sources.as_samples.
FloatArray channel(const py::object& samples) {
  constexpr const char* expected = "float32 with shape (n,)";
  if (!py::isinstance<py::array>(samples)) {
    fail_config("samples", expected, py::str(py::type::of(samples)).cast<std::string>());
  }
  const auto array = py::reinterpret_borrow<py::array>(samples);
  if (!py::isinstance<py::array_t<float>>(samples) || array.ndim() != 1) {
    fail_config("samples", expected, shape_text(array));
  }
  return FloatArray(array);
}

FloatArray resample(Resampling& owned, const py::object& samples) {
  const FloatArray in = channel(samples);
  return owned.use("Resampler", [&](Resampler& resampler) {
    resampler.check_open("process");
    const std::int64_t count = in.shape(0);
    FloatArray out(resampler.outputs_after(count));
    const float* from = in.data();
    float* to = out.mutable_data();
    const py::gil_scoped_release release;
    resampler.process(from, count, to);
    return out;
  });
}

FloatArray resample_end(Resampling& owned) {
  return owned.use("Resampler", [](Resampler& resampler) {
    resampler.check_open("flush");
    FloatArray out(resampler.outputs_at_end());
    resampler.flush(out.mutable_data());
    return out;
  });
}

}  // namespace

void bind_signal(py::module_& m) {
  py::class_<Monitor> monitor(m, "SignalMonitor",
                              "What is wrong with one signal, step by step; see streamsed.health.SignalMonitor.");
  monitor.def(py::init<std::int64_t>(), py::arg("sample_rate"))
      .def("process", &process, py::arg("samples"), py::arg("position"),
           "Look at a step (n, channels), n > 0, whose first frame has this number. Return it, or a copy with 0 for "
           "what cannot be used, and [(condition, position)]: 0 non_finite, 1 clipping, 2 digital_silence, 3 dc.")
      .def(
          "gap", [](Monitor& self) { self.use("SignalMonitor", [](SignalMonitor& stage) { stage.gap(); }); },
          "Begin anew after lost audio: zeros before and after it are not one silence.")
      .def_property_readonly(
          "non_finite_samples", [](const Monitor& self) { return self.constant().non_finite_samples(); },
          "How many values were replaced so far.");
  monitor.attr("MAX_LEVEL") = SignalMonitor::max_level;
  monitor.attr("CLIPPING_LEVEL") = SignalMonitor::clipping_level;
  monitor.attr("CLIPPING_SAMPLES") = SignalMonitor::clipping_samples;

  py::class_<PolyphaseTaps, std::shared_ptr<PolyphaseTaps>>(m, "PolyphaseTaps",
                                                            "Taps of a polyphase filter, shared by streams.")
      .def(py::init(&make_taps), py::arg("table"), py::arg("down"),
           "Rows of a float array (up, 2·half): row r is for an output r / up after an input. Without columns "
           "everything "
           "passes through.");

  py::class_<Resampling>(m, "Resampler", "Resamples one channel; see streamsed.sources.Resampler.")
      .def(py::init<std::shared_ptr<PolyphaseTaps>>(), py::arg("taps").none(false))
      .def("process", &resample, py::arg("samples"),
           "Take samples, shape (n,) float32, any n; return the outputs that they complete. ConfigError for another "
           "type "
           "or shape; StateError after flush, and from a second thread inside a running call.")
      .def("flush", &resample_end,
           "Return what is left, so that round(n · rate_out / rate_in) outputs were made of n inputs. StateError when "
           "called twice.")
      .def(
          "reset",
          [](Resampling& self, std::int64_t offset) {
            self.use("Resampler", [offset](Resampler& resampler) { resampler.reset(offset); });
          },
          py::arg("offset") = 0,
          "Become equal to a new resampler whose output 0 lies `offset` later than input 0, in units of 1 / (rate_in · "
          "up) seconds.");
}

}  // namespace streamsed::bindings
