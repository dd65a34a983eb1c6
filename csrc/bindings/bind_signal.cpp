#include <pybind11/pybind11.h>
#include <pybind11/typing.h>

#include <algorithm>
#include <cstdint>

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
}

}  // namespace streamsed::bindings
