#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <vector>

#include "base/errors.hpp"

namespace streamsed::bindings {

// float32 passes as it is; float64 is rounded and int16 scaled by 1/32768, both into `converted`.
struct Samples {
  const float* data;
  std::int64_t count;
  std::vector<float> converted;
  pybind11::array keep;
};

// Samples (n,) of any of the three types; whether they are finite is for others to find out.
inline Samples take_samples(const pybind11::array& array) {
  namespace py = pybind11;
  require(array.ndim() == 1, "samples", "a one-dimensional array", detail::concat(array.ndim(), " dimensions"));
  Samples out{nullptr, array.shape(0), {}, array};
  const auto stride = array.strides(0);
  if (py::isinstance<py::array_t<float>>(array)) {
    if (stride == static_cast<py::ssize_t>(sizeof(float)) || out.count <= 1) {
      out.data = static_cast<const float*>(array.data());
    } else {
      const auto view = py::reinterpret_borrow<py::array_t<float>>(array).unchecked<1>();
      for (py::ssize_t i = 0; i < out.count; ++i) out.converted.push_back(view(i));
    }
  } else if (py::isinstance<py::array_t<double>>(array)) {
    const auto view = py::reinterpret_borrow<py::array_t<double>>(array).unchecked<1>();
    for (py::ssize_t i = 0; i < out.count; ++i) out.converted.push_back(static_cast<float>(view(i)));
  } else if (py::isinstance<py::array_t<std::int16_t>>(array)) {
    const auto view = py::reinterpret_borrow<py::array_t<std::int16_t>>(array).unchecked<1>();
    for (py::ssize_t i = 0; i < out.count; ++i) out.converted.push_back(static_cast<float>(view(i)) / 32768.0f);
  } else {
    fail_config("samples", "dtype float32, float64 or int16", py::str(array.dtype()).cast<std::string>());
  }
  if (out.data == nullptr) out.data = out.converted.data();
  return out;
}

}  // namespace streamsed::bindings
