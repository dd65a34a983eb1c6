#include "bindings/bindings.hpp"

PYBIND11_MODULE(_core, m) {
  m.doc() = "Compiled core of streamsed: ring buffer, log-mel front-end, median filter, fusion, event decoder";
  streamsed::bindings::bind_base(m);
  streamsed::bindings::bind_audio(m);
  streamsed::bindings::bind_frontend(m);
  streamsed::bindings::bind_log_mel_lanes(m);
  streamsed::bindings::bind_post(m);
  streamsed::bindings::bind_post_lanes(m);
  streamsed::bindings::bind_signal(m);
  streamsed::bindings::bind_tagging(m);
}
