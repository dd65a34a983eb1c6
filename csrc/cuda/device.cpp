#include "cuda/device.hpp"

#include "base/errors.hpp"
#include "cuda/runtime.hpp"

namespace streamsed::cuda {
namespace {

// Empty where there is a device.
std::string why_none() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    return detail::concat("no usable GPU: ", cudaGetErrorString(error), " (cudaGetDeviceCount, CUDA error ",
                          static_cast<int>(error), ")");
  }
  return count > 0 ? "" : "no GPU";
}

}  // namespace

std::string build() { return STREAMSED_CUDA_BUILD; }

int device_count() {
  int count = 0;
  if (!why_none().empty()) return 0;
  check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  return count;
}

std::string describe() {
  const std::string none = why_none();
  if (!none.empty()) return none;
  int number = 0;
  int driver = 0;
  cudaDeviceProp properties;
  check(cudaGetDevice(&number), "cudaGetDevice");
  check(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  check(cudaGetDeviceProperties(&properties, number), "cudaGetDeviceProperties");
  return detail::concat(properties.name, " (compute capability ", properties.major, ".", properties.minor, ", ",
                        properties.multiProcessorCount, " multiprocessors, ", properties.totalGlobalMem >> 20,
                        " MiB; driver for CUDA ", driver / 1000, ".", driver % 1000 / 10, ")");
}

std::size_t most_shared_bytes() {
  int number = 0;
  int bytes = 0;
  check(cudaGetDevice(&number), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, number), "cudaDeviceGetAttribute");
  return static_cast<std::size_t>(bytes);
}

void require_device() {
  const std::string none = why_none();
  if (!none.empty()) fail_config("provider", "cpu, auto, or cuda where there is a GPU", "cuda with " + none);
}

}  // namespace streamsed::cuda
