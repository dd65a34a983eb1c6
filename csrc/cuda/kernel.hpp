#pragma once

// What a kernel's source includes: the CUDA language, or its emulation where STREAMSED_EMULATED is defined.

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cuda/runtime.hpp"
#include "cuda/stream.hpp"

#ifdef STREAMSED_EMULATED
#include <tuple>

#include "cuda/emulation.hpp"
#else
#include <cuda_runtime.h>
#endif

namespace streamsed::cuda {

// The shared memory of the running block, as many bytes as `launch` was told. All shared memory is of this kind: the
// emulation cannot poison arrays that a kernel declares.
template <class T>
__device__ __forceinline__ T* shared_memory() {
#ifdef STREAMSED_EMULATED
  return static_cast<T*>(emulation::shared_bytes());
#else
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  return reinterpret_cast<T*>(shared_bytes);
#endif
}

// Shared memory that every kernel may ask for; more must be allowed kernel by kernel.
inline constexpr std::size_t kUsualSharedBytes = std::size_t{48} << 10;

// Queues kernel(arguments...).
template <class... Parameters>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, const Stream& stream,
            std::type_identity_t<Parameters>... arguments) {
#ifdef STREAMSED_EMULATED
  emulation::enqueue([=] { emulation::run_grid(grid, block, shared_bytes, [=] { kernel(arguments...); }); });
  (void)stream;
#else
  if (shared_bytes > kUsualSharedBytes) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "cudaFuncSetAttribute");
  }
  // clang-format off: it takes >>> for templates
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(stream.native())>>>(arguments...);
  // clang-format on
  check(cudaGetLastError(), "kernel launch");
#endif
}

}  // namespace streamsed::cuda
