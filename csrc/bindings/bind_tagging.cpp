#include <pybind11/pybind11.h>
#include <pybind11/typing.h>

#include <cstdint>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/owned.hpp"
#include "post/clip_pooling.hpp"

namespace py = pybind11;

namespace streamsed::bindings {
namespace {

using Pooling = Owned<ClipPooling>;
using Flags = py::array_t<bool, py::array::c_style | py::array::forcecast>;
using Integers = py::typing::List<py::int_>;

bool add(Pooling& pooling, const py::object& posteriors, const py::object& present) {
  const FloatArray array = float_array(posteriors, "posteriors", "a float array (T, K)", {2});
  const std::int64_t rows = array.shape(0);
  if (array.shape(1) != pooling.constant().labels()) {
    fail_config("posteriors", detail::concat("(T, ", pooling.constant().labels(), ")").c_str(), shape_text(array));
  }
  const bool all = present.is_none();
  const Flags flags = all ? Flags() : Flags(present);
  if (!all && (flags.ndim() != 1 || flags.shape(0) != rows)) {
    fail_config("present", detail::concat("shape (", rows, ")").c_str(), shape_text(flags));
  }
  return pooling.use("ClipPooling",
                     [&](ClipPooling& stage) { return stage.add(array.data(), all ? nullptr : flags.data(), rows); });
}

py::int_ integer(const ClipPooling::Sum& sum) {
  const py::int_ low(sum.low);
  if (sum.high == 0) return low;
  return py::int_((py::int_(sum.high) << py::int_(64)) | low);
}

template <class Values, class Make>
Integers integers(const Values& values, Make make) {
  Integers result;
  for (const auto& value : values) result.append(make(value));
  return result;
}

}  // namespace

void bind_tagging(py::module_& m) {
  const auto plain = [](std::uint64_t value) { return py::int_(value); };
  py::class_<Pooling>(m, "ClipPooling", "Exact sums over the posterior frames of a clip; see streamsed.tagging.")
      .def(py::init<std::int64_t, std::int64_t>(), py::arg("n_labels"), py::arg("window_frames") = 0,
           "Of the newest window_frames, lost ones counted; 0 for all.")
      .def("add", &add, py::arg("posteriors"), py::arg("present") = py::none(),
           "Take frames (T, K), of which those count that are present (T,). Return whether all that count are in [0, "
           "1]; "
           "nothing changes if not.")
      .def(
          "gap",
          [](Pooling& self, std::int64_t frames) {
            self.use("ClipPooling", [frames](ClipPooling& stage) { stage.gap(frames); });
          },
          py::arg("frames"), "Go on after so many lost frames.")
      .def(
          "reset", [](Pooling& self) { self.use("ClipPooling", [](ClipPooling& stage) { stage.reset(); }); },
          "Become equal to a new object.")
      .def_property_readonly(
          "span_frames", [](const Pooling& self) { return self.constant().span(); },
          "How many newest frames the sums are about, lost ones counted.")
      .def_property_readonly(
          "present_frames", [](const Pooling& self) { return self.constant().present(); }, "How many of those count.")
      .def_property_readonly(
          "sums", [plain](const Pooling& self) { return integers(self.constant().sums(), plain); },
          "Of each label, in steps of 2^-24.")
      .def_property_readonly(
          "squares", [](const Pooling& self) { return integers(self.constant().squares(), integer); },
          "Sums of the squares of each label, in steps of 2^-48.")
      .def_property_readonly(
          "largest", [plain](const Pooling& self) { return integers(self.constant().largest(), plain); },
          "Of each label, in steps of 2^-24.");
}

}  // namespace streamsed::bindings
