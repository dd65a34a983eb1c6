#include "cuda/memory.hpp"

#include "base/errors.hpp"
#include "cuda/runtime.hpp"

namespace streamsed::cuda {

void* allocate_device(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t available = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&available, &total), "cudaMemGetInfo");
    throw GpuOutOfMemory(
        detail::concat("GPU memory: expected ", bytes, " free bytes, got ", available, " of ", total, " in all"));
  }
  check(error, "cudaMalloc");
  return memory;
}

void* allocate_pinned(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  void* memory = nullptr;
  const cudaError_t error = cudaMallocHost(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw GpuOutOfMemory(detail::concat("pinned memory: expected ", bytes, " bytes that can be pinned, got fewer"));
  }
  check(error, "cudaMallocHost");
  return memory;
}

void free_device(void* memory) noexcept { cudaFree(memory); }
void free_pinned(void* memory) noexcept { cudaFreeHost(memory); }

void copy_bytes(void* to, const void* from, std::size_t bytes, const Stream& stream) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, static_cast<cudaStream_t>(stream.native())),
        "cudaMemcpyAsync");
}

void fill_bytes(void* to, int value, std::size_t bytes, const Stream& stream) {
  if (bytes == 0) return;
  check(cudaMemsetAsync(to, value, bytes, static_cast<cudaStream_t>(stream.native())), "cudaMemsetAsync");
}

}  // namespace streamsed::cuda
