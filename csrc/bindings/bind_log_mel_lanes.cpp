#include <memory>
#include <string>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/lane_call.hpp"
#include "bindings/samples.hpp"
#include "cuda/device.hpp"
#include "frontend/log_mel_lanes.hpp"

#ifdef STREAMSED_GPU_LANES
#include "frontend/log_mel_lanes_cuda.hpp"
#endif

namespace py = pybind11;

namespace streamsed::bindings {
namespace {

ChunkValues samples_of(const py::array& array, std::int64_t) {
  Samples samples = take_samples(array);
  if (samples.converted.empty()) return {samples.data, samples.count, nullptr};
  const float* data = samples.data;
  const std::int64_t count = samples.count;
  return {data, count, std::make_shared<std::vector<float>>(std::move(samples.converted))};
}

ChunkKind samples_kind() { return {"samples", 1, 1, &samples_of}; }

std::unique_ptr<LogMelLanes> make_lanes(std::shared_ptr<LogMel> log_mel, int lanes, const std::string& provider) {
  if (provider == "cpu") return make_cpu_log_mel_lanes(std::move(log_mel), lanes);
  if (provider == "cuda") cuda::require_device();
#ifdef STREAMSED_GPU_LANES
  if (provider == "cuda") return make_cuda_log_mel_lanes(std::move(log_mel), lanes);
#endif
  fail_config("provider", "cpu or cuda", provider);
}

Delivery process(LogMelLanes& self, const py::object& samples, const Numbers& lanes, const Lengths& lengths,
                 const py::object& out) {
  const ChunkKind kind = samples_kind();
  LaneInput input(samples, lanes, lengths, self.lanes(), kind);
  const BusyFlag::Guard guard(self.busy(), "LogMelLanes");
  std::vector<std::int64_t> frames;
  frames.reserve(input.chunks().size());
  for (const LaneChunk& chunk : input.chunks()) frames.push_back(self.frames_after(chunk.lane, chunk.count));
  const LaneOutput output(out, input.chunks(), std::move(frames), self.log_mel().config().n_mels);
  {
    const py::gil_scoped_release release;
    self.process(input.chunks(), input.memory(), output.memory(), input.producer_stream());
  }
  return py::make_tuple(output.results(), complaints(input.chunks(), input.memory(), kind, "finite values"));
}

}  // namespace

void bind_log_mel_lanes(py::module_& m) {
  py::class_<LogMelLanes>(m, "LogMelLanes", "Many streams of log-mel frames; see streamsed.lanes.LogMelLanes.")
      .def(py::init(&make_lanes), py::arg("log_mel"), py::arg("lanes"), py::arg("provider"))
      .def("process", &process, py::arg("samples"), py::arg("lanes") = py::none(), py::arg("lengths") = py::none(),
           py::arg("out") = py::none(),
           "Return the frames of each chunk (or with `out` how many there are), and [(chunk, complaint)].")
      .def(
          "skip",
          [](LogMelLanes& self, int lane, std::int64_t missing) {
            const BusyFlag::Guard guard(self.busy(), "LogMelLanes");
            return self.skip(lane, missing);
          },
          py::arg("lane"), py::arg("missing_samples"),
          "Advance a lane's clock over lost audio; returns the number of frames that do not exist.")
      .def(
          "flush",
          [](LogMelLanes& self, int lane) {
            const BusyFlag::Guard guard(self.busy(), "LogMelLanes");
            self.flush(lane);
          },
          py::arg("lane"), "End a lane's stream; then only reset() is legal.")
      .def(
          "reset",
          [](LogMelLanes& self, const Numbers& lanes) {
            const BusyFlag::Guard guard(self.busy(), "LogMelLanes");
            const std::vector<int> numbers = numbers_or_all(lanes, self.lanes());
            // All numbers are looked at before any lane is reset.
            for (const int lane : numbers) self.position_samples(lane);
            for (const int lane : numbers) self.reset(lane);
          },
          py::arg("lanes") = py::none(), "Lanes back to new streams; all of them by default.")
      .def("position_samples", &LogMelLanes::position_samples, py::arg("lane"), "Samples taken in, lost ones counted.")
      .def("position_frames", &LogMelLanes::position_frames, py::arg("lane"), "Number of the lane's next frame.")
      .def_property_readonly("lanes", &LogMelLanes::lanes, "How many there are.")
      .def_property_readonly("latency_samples", &LogMelLanes::latency_samples,
                             "Samples after a frame's first one before it is known.");
}

}  // namespace streamsed::bindings
