#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/bindings.hpp"
#include "bindings/owned.hpp"
#include "pipeline/post_chain.hpp"
#include "post/binary_median.hpp"
#include "post/event_decoder.hpp"
#include "post/fusion.hpp"
#include "post/median_filter.hpp"

namespace py = pybind11;

namespace streamsed::bindings {
namespace {

FloatArray rows_of(const py::object& object, int classes) {
  FloatArray array = float_array(object, "posteriors", "a float array (T, K)", {2});
  if (array.shape(1) != classes) {
    fail_config("posteriors", detail::concat("(T, ", classes, ")").c_str(), shape_text(array));
  }
  return array;
}

FloatArray new_rows(std::int64_t rows, int classes) { return FloatArray({rows, static_cast<std::int64_t>(classes)}); }

std::vector<int> one_width_per_class(int n_classes, std::vector<int> widths) {
  require(n_classes >= 1, "n_classes", "1 or more", n_classes);
  const auto n = static_cast<std::size_t>(n_classes);
  require(widths.size() == n, "widths", "one odd width per class", widths.size());
  return widths;
}

std::vector<int> widths_from(int n_classes, const py::object& widths) {
  if (py::isinstance<py::int_>(widths)) {
    require(n_classes >= 1, "n_classes", "1 or more", n_classes);
    return std::vector<int>(static_cast<std::size_t>(n_classes), widths.cast<int>());
  }
  return one_width_per_class(n_classes, widths.cast<std::vector<int>>());
}

using Median = Owned<OnlineMedianFilter>;
using BinaryMedian = Owned<OnlineBinaryMedian>;

FloatArray median_process(Median& owned, const py::object& posteriors) {
  const FloatArray in = rows_of(posteriors, owned.constant().classes());
  return owned.use("OnlineMedianFilter", [&](OnlineMedianFilter& filter) {
    const std::int64_t rows = in.shape(0);
    FloatArray out = new_rows(filter.rows_after(rows), filter.classes());
    const float* from = in.data();
    float* to = out.mutable_data();
    const py::gil_scoped_release release;
    filter.process(from, rows, to);
    return out;
  });
}

FloatArray median_flush(Median& owned) {
  return owned.use("OnlineMedianFilter", [&](OnlineMedianFilter& filter) {
    FloatArray out = new_rows(filter.rows_after_flush(), filter.classes());
    float* to = out.mutable_data();
    const py::gil_scoped_release release;
    filter.flush(to);
    return out;
  });
}

FloatArray median_filter(const py::object& posteriors, std::vector<int> widths, const std::string& mode, float cval) {
  OnlineMedianFilter filter(std::move(widths), edge_mode_from(mode), cval);
  const FloatArray in = rows_of(posteriors, filter.classes());
  const std::int64_t rows = in.shape(0);
  FloatArray out = new_rows(rows, filter.classes());
  const float* from = in.data();
  float* to = out.mutable_data();
  const py::gil_scoped_release release;
  const std::int64_t early = filter.rows_after(rows);
  filter.process(from, rows, to);
  filter.flush(to + early * filter.classes());
  return out;
}

using BoolArray = py::array_t<bool, py::array::c_style>;

BoolArray first_rows(const std::vector<std::uint8_t>& values, std::int64_t rows, int classes) {
  BoolArray out({rows, static_cast<std::int64_t>(classes)});
  bool* to = out.mutable_data();
  for (std::int64_t i = 0; i < rows * classes; ++i) to[i] = values[static_cast<std::size_t>(i)] != 0;
  return out;
}

BoolArray binary_process(BinaryMedian& owned, const py::object& active) {
  const int classes = owned.constant().classes();
  if (!py::isinstance<py::array>(active)) {
    fail_config("active", "a bool array (T, K)", py::str(py::type::of(active)).cast<std::string>());
  }
  const auto array = py::reinterpret_borrow<py::array>(active);
  const bool fits = array.dtype().kind() == 'b' && array.ndim() == 2 && array.shape(1) == classes;
  if (!fits) fail_config("active", detail::concat("a bool array (T, ", classes, ")").c_str(), shape_text(array));
  const BoolArray in(array);
  return owned.use("OnlineBinaryMedian", [&](OnlineBinaryMedian& filter) {
    const std::int64_t rows = in.shape(0);
    std::vector<std::uint8_t> out(static_cast<std::size_t>(filter.most_rows(rows) * classes));
    const auto* from = reinterpret_cast<const std::uint8_t*>(in.data());
    std::int64_t written = 0;
    {
      const py::gil_scoped_release release;
      written = filter.process(from, rows, out.data());
    }
    return first_rows(out, written, classes);
  });
}

BoolArray binary_flush(BinaryMedian& owned) {
  return owned.use("OnlineBinaryMedian", [&](OnlineBinaryMedian& filter) {
    std::vector<std::uint8_t> out(static_cast<std::size_t>(filter.most_rows(0) * filter.classes()));
    std::int64_t written = 0;
    {
      const py::gil_scoped_release release;
      written = filter.flush(out.data());
    }
    return first_rows(out, written, filter.classes());
  });
}

// The arrays behind a Members: kept as long as it is used.
struct HeldMembers {
  FloatArray posteriors;
  FloatArray confidences;
  FloatArray weights;
  std::vector<float> equal;
  Members members{};

  HeldMembers(const py::object& f, const py::object& c, const py::object& w)
      : posteriors(float_array(f, "posteriors", "a float array (M, T, K)", {3})) {
    members = {posteriors.data(), nullptr, nullptr, posteriors.shape(0), posteriors.shape(1), posteriors.shape(2)};
    if (members.count < 1 || members.classes < 1) {
      fail_config("posteriors", "(M, T, K) with M and K of 1 or more", shape_text(posteriors));
    }
    if (!c.is_none()) {
      confidences = float_array(c, "confidences", "a float array (M, T)", {2});
      if (confidences.shape(0) != members.count || confidences.shape(1) != members.rows) {
        const std::string expected = detail::concat("(", members.count, ", ", members.rows, ")");
        fail_config("confidences", expected.c_str(), shape_text(confidences));
      }
      members.confidences = confidences.data();
    }
    if (w.is_none()) {
      equal.assign(static_cast<std::size_t>(members.count), 1.0F);
      members.weights = equal.data();
    } else {
      weights = float_array(w, "weights", "a float array (M,)", {1});
      if (weights.shape(0) != members.count) {
        fail_config("weights", detail::concat("(", members.count, ",)").c_str(), shape_text(weights));
      }
      members.weights = weights.data();
    }
  }
  HeldMembers(const HeldMembers&) = delete;
  HeldMembers& operator=(const HeldMembers&) = delete;
};

bool overlap(const FloatArray& a, const FloatArray& b) {
  return a.data() < b.data() + b.size() && b.data() < a.data() + a.size();
}

FloatArray checked_out(const py::object& object, const HeldMembers& held) {
  const std::string expected =
      detail::concat("a writable C-contiguous float32 array (", held.members.rows, ", ", held.members.classes, ")");
  if (!py::isinstance<FloatArray>(object)) {
    fail_config("out", expected.c_str(), py::str(py::type::of(object)).cast<std::string>());
  }
  auto out = py::reinterpret_borrow<FloatArray>(object);
  const bool fits = out.ndim() == 2 && out.shape(0) == held.members.rows && out.shape(1) == held.members.classes;
  if (!fits || !out.writeable()) fail_config("out", expected.c_str(), shape_text(out));
  if (overlap(out, held.posteriors) || (held.members.confidences != nullptr && overlap(out, held.confidences))) {
    fail_config("out", "memory of its own", "a part of the input");
  }
  return out;
}

FloatArray fuse_arrays(const py::object& posteriors, const py::object& confidences, const py::object& weights,
                       const py::object& out_or_none) {
  const HeldMembers held(posteriors, confidences, weights);
  FloatArray out =
      out_or_none.is_none() ? FloatArray({held.members.rows, held.members.classes}) : checked_out(out_or_none, held);
  float* to = out.mutable_data();
  const py::gil_scoped_release release;
  fuse(held.members, to);
  return out;
}

using DecisionList = py::typing::List<py::typing::Tuple<int, int, int, int, int, float, float, bool, bool, int>>;

DecisionList to_list(const std::vector<Decision>& decisions) {
  DecisionList out;
  for (const Decision& d : decisions) {
    out.append(py::make_tuple(static_cast<int>(d.kind), d.number, d.label, d.onset, d.offset, d.confidence,
                              d.uncertainty, d.spans_gap, d.truncated, d.decided));
  }
  return out;
}

using Thresholds = std::vector<float>;
using Durations = std::vector<std::int64_t>;
using Merges = std::vector<double>;

// A half_step of 0 leaves a class to the hysteresis; without any, all are.
DecoderSettings decoder_settings(Thresholds on, Thresholds off, Durations duration, Durations gap,
                                 const Durations& half_step, const Merges& merge_absolute,
                                 const Merges& merge_relative) {
  const std::size_t n = half_step.size();
  require(n == 0 || n == on.size(), "half_step", "as many as threshold_on", n);
  require(merge_absolute.size() == n, "merge_absolute", "as many as half_step", merge_absolute.size());
  require(merge_relative.size() == n, "merge_relative", "as many as half_step", merge_relative.size());
  DecoderSettings settings{std::move(on), std::move(off), std::move(duration), std::move(gap)};
  for (std::size_t k = 0; k < n; ++k) {
    if (half_step[k] != 0) settings.changes.push_back({k, half_step[k], merge_absolute[k], merge_relative[k]});
  }
  return settings;
}

// Calls without the GIL and lists what was decided.
template <class Stage, class Call>
DecisionList decide(Owned<Stage>& owned, const char* name, Call call) {
  return owned.use(name, [&](Stage& stage) {
    const std::vector<Decision>* decisions = nullptr;
    {
      const py::gil_scoped_release release;
      decisions = &call(stage);
    }
    return to_list(*decisions);
  });
}

// The methods that EventDecoder and PostChain share.
template <class Stage>
void def_decoding(py::class_<Owned<Stage>>& type, const char* name) {
  using Self = Owned<Stage>;
  type.def(
          "process",
          [name](Self& self, const py::object& posteriors) {
            const FloatArray in = rows_of(posteriors, self.constant().classes());
            const float* data = in.data();
            const std::int64_t rows = in.shape(0);
            return decide(self, name, [&](Stage& stage) -> auto& { return stage.process(data, rows); });
          },
          py::arg("posteriors"),
          "Return [(kind, number, class, onset, offset, confidence, uncertainty, spans_gap, truncated, decided)]: kind "
          "0 "
          "onset, 1 retract, 2 event; frames.")
      .def(
          "gap",
          [name](Self& self, std::int64_t frames) {
            return decide(self, name, [&](Stage& stage) -> auto& { return stage.gap(frames); });
          },
          py::arg("frames"), "Account for lost frames.")
      .def(
          "flush",
          [name](Self& self) { return decide(self, name, [](Stage& stage) -> auto& { return stage.flush(); }); },
          "Close everything; afterwards only reset() is legal.")
      .def(
          "reset", [name](Self& self) { self.use(name, [](Stage& stage) { stage.reset(); }); },
          "Become equal to a new object.");
}

// The methods that both medians share.
template <class Stage>
void def_median(py::class_<Owned<Stage>>& type, const char* name, const char* latency) {
  using Self = Owned<Stage>;
  type.def(
          "reset", [name](Self& self) { self.use(name, [](Stage& stage) { stage.reset(); }); },
          "Become equal to a new object.")
      .def_property_readonly(
          "n_classes", [](const Self& self) { return self.constant().classes(); }, "Columns.")
      .def_property_readonly(
          "widths", [](const Self& self) { return py::tuple(py::cast(self.constant().widths())); },
          "Window of each class in frames.")
      .def_property_readonly(
          "latency_frames", [](const Self& self) { return self.constant().latency_frames(); }, latency);
}

}  // namespace

void bind_post(py::module_& m) {
  m.def("median_filter", &median_filter, py::arg("posteriors"), py::arg("widths"), py::arg("mode"), py::arg("cval"),
        "Running median of (T, K) along time; see streamsed.postprocess.median_filter.");
  m.def("fuse", &fuse_arrays, py::arg("posteriors"), py::arg("confidences"), py::arg("weights"), py::arg("out"),
        "Fuse (M, T, K) with confidences (M, T) and weights (M,); see streamsed.postprocess.fuse.");

  py::class_<Median> median(m, "OnlineMedianFilter",
                            "Running median along time, one odd width per class, of a stream of posteriors (T, K).\n\n"
                            "Rows come out complete, `latency_frames` after they came in: half of the widest window. "
                            "mode: reflect, mirror, nearest or constant, as in scipy.ndimage.median_filter.");
  median
      .def(py::init([](int n_classes, const py::object& widths, const std::string& mode, float cval) {
             return std::make_unique<Median>(widths_from(n_classes, widths), edge_mode_from(mode), cval);
           }),
           py::arg("n_classes"), py::arg("widths"), py::arg("mode") = "reflect", py::arg("cval") = 0.0F)
      .def("process", &median_process, py::arg("posteriors"), "Take (T, K) float in; return the new rows as float32.")
      .def("flush", &median_flush, "Return the last rows, continued by `mode`; afterwards only reset() is legal.");
  def_median(median, "OnlineMedianFilter", "Frames that a row waits for.");

  py::class_<BinaryMedian> binary(
      m, "OnlineBinaryMedian",
      "Running median of a stream of bool (T, K) that decides as soon as a majority is certain.\n\n"
      "A row comes out when all its classes are decided, `latency_frames` after it came in at "
      "the latest. Same values as OnlineMedianFilter.");
  binary
      .def(py::init([](int n_classes, const py::object& widths, const std::string& mode, bool cval) {
             return std::make_unique<BinaryMedian>(widths_from(n_classes, widths), edge_mode_from(mode), cval);
           }),
           py::arg("n_classes"), py::arg("widths"), py::arg("mode") = "reflect", py::arg("cval") = false)
      .def("process", &binary_process, py::arg("active"), "Take (T, K) bool in; return the rows decided by them.")
      .def("flush", &binary_flush, "Return the last rows, continued by `mode`; afterwards only reset() is legal.");
  def_median(binary, "OnlineBinaryMedian", "Frames that a row waits for at most.");

  py::class_<Owned<EventDecoder>> decoder(m, "EventDecoder",
                                          "Event decoder counting frames; see streamsed.postprocess.EventDecoder.");
  decoder.def(py::init([](Thresholds on, Thresholds off, Durations duration, Durations gap, const Durations& half_step,
                          const Merges& absolute, const Merges& relative) {
                return std::make_unique<Owned<EventDecoder>>(decoder_settings(
                    std::move(on), std::move(off), std::move(duration), std::move(gap), half_step, absolute, relative));
              }),
              py::arg("threshold_on"), py::arg("threshold_off"), py::arg("min_duration"), py::arg("min_gap"),
              py::arg("half_step") = Durations{}, py::arg("merge_absolute") = Merges{},
              py::arg("merge_relative") = Merges{});
  def_decoding(decoder, "EventDecoder");

  py::class_<Owned<PostChain>> chain(
      m, "PostChain", "Median and decoder composed, counting frames; see streamsed.postprocess.PostChain.");
  chain
      .def(py::init([](std::vector<int> widths, Thresholds on, Thresholds off, Durations duration, Durations gap,
                       const Durations& half_step, const Merges& absolute, const Merges& relative) {
             return std::make_unique<Owned<PostChain>>(
                 std::move(widths), decoder_settings(std::move(on), std::move(off), std::move(duration), std::move(gap),
                                                     half_step, absolute, relative));
           }),
           py::arg("widths"), py::arg("threshold_on"), py::arg("threshold_off"), py::arg("min_duration"),
           py::arg("min_gap"), py::arg("half_step") = Durations{}, py::arg("merge_absolute") = Merges{},
           py::arg("merge_relative") = Merges{})
      .def(
          "process_members",
          [](Owned<PostChain>& self, const py::object& posteriors, const py::object& confidences,
             const py::object& weights) {
            const HeldMembers held(posteriors, confidences, weights);
            return decide(self, "PostChain",
                          [&](PostChain& stage) -> auto& { return stage.process_members(held.members); });
          },
          py::arg("posteriors"), py::arg("confidences"), py::arg("weights"), "Fuse, then process.")
      .def_property_readonly(
          "latency_frames", [](const Owned<PostChain>& self) { return self.constant().latency_frames(); },
          "Frames that a smoothed row waits for.");
  def_decoding(chain, "PostChain");
}

}  // namespace streamsed::bindings
