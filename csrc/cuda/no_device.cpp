#include "base/errors.hpp"
#include "cuda/device.hpp"

// A build without CUDA.
namespace streamsed::cuda {

std::string build() { return "none"; }
int device_count() { return 0; }
std::string describe() { return "no GPU: this build is without CUDA"; }

std::size_t most_shared_bytes() { return 0; }

void require_device() {
  fail_config("provider", "cpu, auto, or cuda where there is a GPU", "cuda in a build without CUDA");
}

}  // namespace streamsed::cuda
