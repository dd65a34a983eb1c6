#include <memory>
#include <string>
#include <vector>

#include "base/errors.hpp"
#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/lane_call.hpp"
#include "cuda/device.hpp"
#include "post/fusion_lanes.hpp"
#include "post/median_lanes.hpp"

#ifdef STREAMSED_GPU_LANES
#include "post/fusion_lanes_cuda.hpp"
#include "post/median_lanes_cuda.hpp"
#endif

namespace py = pybind11;

namespace streamsed::bindings {
namespace {

ChunkValues rows_of(const py::array& array, std::int64_t columns) {
  const FloatArray rows = float_array(array, "posteriors", "a float array (T, K)", {2});
  if (rows.shape(1) != columns) {
    fail_config("posteriors", detail::concat("(T, ", columns, ")").c_str(), shape_text(rows));
  }
  if (rows.is(array)) return {rows.data(), rows.shape(0), nullptr};
  return {rows.data(), rows.shape(0), std::make_shared<py::object>(rows)};
}

ChunkKind rows_kind(const MedianLanes& lanes) { return {"posteriors", lanes.classes(), 2, &rows_of}; }

std::unique_ptr<MedianLanes> make_median_lanes(std::vector<int> widths, const std::string& mode, float cval, int lanes,
                                               const std::string& provider) {
  const EdgeMode edges = edge_mode_from(mode);
  if (provider == "cpu") return make_cpu_median_lanes(std::move(widths), edges, cval, lanes);
  if (provider == "cuda") cuda::require_device();
#ifdef STREAMSED_GPU_LANES
  if (provider == "cuda") return make_cuda_median_lanes(std::move(widths), edges, cval, lanes);
#endif
  fail_config("provider", "cpu or cuda", provider);
}

Delivery process_rows(MedianLanes& self, const py::object& posteriors, const Numbers& lanes, const Lengths& lengths,
                      const py::object& out) {
  const ChunkKind kind = rows_kind(self);
  LaneInput input(posteriors, lanes, lengths, self.lanes(), kind);
  const BusyFlag::Guard guard(self.busy(), "MedianLanes");
  std::vector<std::int64_t> rows;
  rows.reserve(input.chunks().size());
  for (const LaneChunk& chunk : input.chunks()) rows.push_back(self.rows_after(chunk.lane, chunk.count));
  const LaneOutput output(out, input.chunks(), std::move(rows), self.classes());
  {
    const py::gil_scoped_release release;
    self.process(input.chunks(), input.memory(), output.memory(), input.producer_stream());
  }
  return py::make_tuple(output.results(), complaints(input.chunks(), input.memory(), kind, "numbers"));
}

py::list flush_rows(MedianLanes& self, const Numbers& lanes, const py::object& out) {
  const std::vector<int> numbers = numbers_or_all(lanes, self.lanes());
  const BusyFlag::Guard guard(self.busy(), "MedianLanes");
  std::vector<LaneChunk> chunks;
  std::vector<std::int64_t> rows;
  for (const int lane : numbers) {
    chunks.push_back({lane, nullptr, 0, nullptr});
    rows.push_back(self.rows_after_flush(lane));
  }
  const LaneOutput output(out, chunks, std::move(rows), self.classes());
  {
    const py::gil_scoped_release release;
    self.flush(chunks, output.memory());
  }
  return output.results();
}

std::unique_ptr<FusionLanes> make_fusion_lanes(const std::string& provider) {
  if (provider == "cpu") return make_cpu_fusion_lanes();
  if (provider == "cuda") cuda::require_device();
#ifdef STREAMSED_GPU_LANES
  if (provider == "cuda") return make_cuda_fusion_lanes();
#endif
  fail_config("provider", "cpu or cuda", provider);
}

// One array for each member: as they are given, or those along the first axis of one.
struct MemberArrays {
  std::vector<const float*> data;
  std::vector<std::int64_t> shape;  // of each
  Memory memory = Memory::host;
  std::uint64_t producer_stream = 0;
  std::vector<std::shared_ptr<void>> keep;
};

Tensor packed_tensor(const py::object& object, const char* parameter, const char* expected, int dimensions) {
  // NumPy arrays are converted where they must be, tensors of others never.
  Tensor tensor = py::isinstance<py::array>(object)
                      ? borrow_tensor(float_array(object, parameter, expected, {dimensions}), parameter)
                      : borrow_tensor(object, parameter);
  const bool fits = static_cast<int>(tensor.shape.size()) == dimensions && tensor.packed_from(0);
  if (!fits) fail_config(parameter, expected, tensor.describe());
  return tensor;
}

MemberArrays members_of(const py::object& object, const char* parameter, const std::string& axes, int dimensions) {
  MemberArrays out;
  if (!is_sequence(object)) {
    const Tensor all = packed_tensor(object, parameter, ("float32 (M, " + axes + ")").c_str(), dimensions + 1);
    out.shape.assign(all.shape.begin() + 1, all.shape.end());
    for (std::int64_t m = 0; m < all.shape[0]; ++m) out.data.push_back(all.data + m * all.strides[0]);
    out.memory = all.memory;
    out.producer_stream = all.producer_stream;
    out.keep.push_back(all.keep);
    return out;
  }
  for (const py::handle item : object) {
    Tensor one = packed_tensor(py::reinterpret_borrow<py::object>(item), parameter,
                               detail::concat("float32 (", axes, ") of each member").c_str(), dimensions);
    if (out.data.empty()) {
      out.shape = one.shape;
      out.memory = one.memory;
      out.producer_stream = one.producer_stream;
    }
    const bool alike = one.shape == out.shape && one.memory == out.memory && one.producer_stream == out.producer_stream;
    if (!alike) fail_config(parameter, "the same shape and memory for all members", one.describe());
    out.data.push_back(one.data);
    out.keep.push_back(std::move(one.keep));
  }
  return out;
}

// Weights for all lanes, for each lane its own, or equal ones.
void set_weights(LaneEnsemble& ensemble, FloatArray& held, const py::object& weights, std::int64_t lanes) {
  const auto members = static_cast<std::int64_t>(ensemble.members());
  if (weights.is_none()) {
    held = FloatArray(members);
    std::fill_n(held.mutable_data(), members, 1.0F);
  } else {
    held = float_array(weights, "weights", "a float array (M,) or (lanes, M)", {1, 2});
    ensemble.own_weights = held.ndim() == 2;
    const bool fits = held.shape(held.ndim() - 1) == members && (held.ndim() == 1 || held.shape(0) == lanes);
    if (!fits) {
      fail_config("weights", detail::concat("(", members, ",) or (", lanes, ", ", members, ")").c_str(),
                  shape_text(held));
    }
  }
  ensemble.weights = held.data();
}

Complaints complaints_of(const std::vector<FusionFault>& faults, const LaneEnsemble& ensemble) {
  Complaints out;
  for (const FusionFault& fault : faults) {
    const std::string text =
        fault.confidence
            ? detail::concat("confidences: expected finite numbers of 0 or more, got another one of member ",
                             fault.at / ensemble.rows, " in frame ", fault.at % ensemble.rows)
            : detail::concat("posteriors: expected finite numbers, got a fused value that is NaN or infinite in frame ",
                             fault.at / ensemble.classes, ", class ", fault.at % ensemble.classes);
    out.append(py::make_tuple(static_cast<int>(fault.lane), detail::concat(text, " of lane ", fault.lane)));
  }
  return out;
}

Delivery fuse_members(FusionLanes& self, const py::object& posteriors, const py::object& confidences,
                      const py::object& weights, const Lengths& lengths, const py::object& out) {
  const MemberArrays given = members_of(posteriors, "posteriors", "lanes, T, K", 3);
  require(!given.data.empty(), "posteriors", "one member or more", "none");
  LaneEnsemble ensemble;
  ensemble.posteriors = given.data;
  ensemble.rows = given.shape[1];
  ensemble.classes = given.shape[2];
  const std::int64_t lanes = given.shape[0];
  MemberArrays sure;
  if (!confidences.is_none()) {
    sure = members_of(confidences, "confidences", "lanes, T", 2);
    const bool fits = sure.data.size() == given.data.size() && sure.shape[0] == lanes &&
                      sure.shape[1] == ensemble.rows && sure.memory == given.memory &&
                      sure.producer_stream == given.producer_stream;
    if (!fits) {
      const std::string rule = detail::concat("(", given.data.size(), ", ", lanes, ", ", ensemble.rows,
                                              ") in the same memory as the posteriors");
      fail_config("confidences", rule.c_str(), "another shape or memory");
    }
    ensemble.confidences = sure.data;
  }
  FloatArray held;
  set_weights(ensemble, held, weights, lanes);

  std::vector<std::int64_t> rows(static_cast<std::size_t>(lanes), ensemble.rows);
  if (lengths) {
    require(lengths->size() == rows.size(), "lengths", "one for each lane", lengths->size());
    rows = *lengths;
  }
  std::vector<LaneChunk> chunks;
  for (std::size_t lane = 0; lane < rows.size(); ++lane) {
    require(rows[lane] >= 0 && rows[lane] <= ensemble.rows, "lengths", "numbers from 0 to T", rows[lane]);
    chunks.push_back({static_cast<int>(lane), nullptr, rows[lane], nullptr});
  }
  const LaneOutput output(out, chunks, std::move(rows), ensemble.classes);
  const BusyFlag::Guard guard(self.busy(), "FusionLanes");
  std::vector<FusionFault> faults;
  {
    const py::gil_scoped_release release;
    faults = self.fuse(ensemble, chunks, given.memory, output.memory(), given.producer_stream);
  }
  return py::make_tuple(output.results(), complaints_of(faults, ensemble));
}

}  // namespace

void bind_post_lanes(py::module_& m) {
  py::class_<MedianLanes>(m, "MedianLanes", "Running medians of many streams; see streamsed.lanes.MedianLanes.")
      .def(py::init(&make_median_lanes), py::arg("widths"), py::arg("mode"), py::arg("cval"), py::arg("lanes"),
           py::arg("provider"))
      .def("process", &process_rows, py::arg("posteriors"), py::arg("lanes") = py::none(),
           py::arg("lengths") = py::none(), py::arg("out") = py::none(),
           "Return the new rows of each chunk (or with `out` how many there are), and [(chunk, complaint)].")
      .def("flush", &flush_rows, py::arg("lanes") = py::none(), py::arg("out") = py::none(),
           "Return the last rows of these lanes; afterwards they can only be reset.")
      .def(
          "reset",
          [](MedianLanes& self, const Numbers& lanes) {
            const BusyFlag::Guard guard(self.busy(), "MedianLanes");
            self.reset(numbers_or_all(lanes, self.lanes()));
          },
          py::arg("lanes") = py::none(), "Lanes back to new streams; all of them by default.")
      .def_property_readonly("lanes", &MedianLanes::lanes, "How many there are.")
      .def_property_readonly("n_classes", &MedianLanes::classes, "Columns.")
      .def_property_readonly(
          "widths", [](const MedianLanes& self) { return py::tuple(py::cast(self.widths())); },
          "Window of each class in frames.")
      .def_property_readonly("latency_frames", &MedianLanes::latency_frames, "Frames that a row waits for.");

  py::class_<FusionLanes>(m, "FusionLanes", "Fused ensembles of many streams; see streamsed.lanes.FusionLanes.")
      .def(py::init(&make_fusion_lanes), py::arg("provider"))
      .def("process", &fuse_members, py::arg("posteriors"), py::arg("confidences") = py::none(),
           py::arg("weights") = py::none(), py::arg("lengths") = py::none(), py::arg("out") = py::none(),
           "Return the fused rows of each lane (or with `out` how many there are), and [(lane, complaint)].");
}

}  // namespace streamsed::bindings
