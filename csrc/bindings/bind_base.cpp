#include "base/dispatch.hpp"
#include "base/errors.hpp"
#include "bindings/bindings.hpp"
#include "cuda/device.hpp"

namespace py = pybind11;

namespace streamsed::bindings {

void bind_base(py::module_& m) {
  // The exception classes live in Python (streamsed/errors.py), so that pure Python code raises the same ones.
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const ConfigError& error) {
      py::set_error(py::module_::import("streamsed.errors").attr("ConfigError"), error.what());
    } catch (const GpuOutOfMemory& error) {
      py::set_error(py::module_::import("streamsed.errors").attr("GpuOutOfMemory"), error.what());
    } catch (const GpuError& error) {
      py::set_error(py::module_::import("streamsed.errors").attr("GpuError"), error.what());
    } catch (const StateError& error) {
      py::set_error(py::module_::import("streamsed.errors").attr("StateError"), error.what());
    }
  });
  m.def("cuda_build", &cuda::build,
        "What GPU kernels are in this build: none, emulated, or a CUDA version and architectures.");
  m.def("cuda_device_count", &cuda::device_count, "How many GPUs can be used.");
  m.def("cuda_describe", &cuda::describe, "The GPU in use in words, or why there is none.");
  m.def("require_cuda", &cuda::require_device, "Raise ConfigError naming `provider` unless there is a usable GPU.");
  m.def("active_isa", [] { return isa_name(active_isa()); }, "Name of the instruction set that new objects will use.");
  m.def("force_isa", &force_isa, py::arg("name"),
        "Restrict dispatch to one instruction set: auto, baseline, avx2, avx512 or neon.");
}

}  // namespace streamsed::bindings
