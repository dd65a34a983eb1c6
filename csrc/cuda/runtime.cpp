#include "cuda/runtime.hpp"

#include "base/errors.hpp"

namespace streamsed::cuda {

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  // The runtime repeats an error to the next one who asks unless it is taken away.
  cudaGetLastError();
  throw GpuError(detail::concat(call, ": ", cudaGetErrorString(error), " (CUDA error ", static_cast<int>(error), ")"));
}

}  // namespace streamsed::cuda
