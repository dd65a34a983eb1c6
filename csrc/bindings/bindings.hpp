#pragma once

#include <pybind11/pybind11.h>

namespace streamsed::bindings {

void bind_base(pybind11::module_& m);
void bind_audio(pybind11::module_& m);
void bind_frontend(pybind11::module_& m);
void bind_log_mel_lanes(pybind11::module_& m);
void bind_post(pybind11::module_& m);
void bind_post_lanes(pybind11::module_& m);
void bind_signal(pybind11::module_& m);
void bind_tagging(pybind11::module_& m);

}  // namespace streamsed::bindings
