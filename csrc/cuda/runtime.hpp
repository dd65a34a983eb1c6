#pragma once

// The CUDA runtime or its emulation, and checked calls of it. For this folder and for kernels.

#ifdef STREAMSED_EMULATED
#include "cuda/emulated_runtime.hpp"
#else
#include <cuda_runtime_api.h>
#endif

namespace streamsed::cuda {

// Throws GpuError naming the call unless it went well.
void check(cudaError_t error, const char* call);

}  // namespace streamsed::cuda
