#pragma once

#include <memory>
#include <vector>

#include "post/median_lanes.hpp"

namespace streamsed {

// On the GPU that is in use when they are made. Throws GpuOutOfMemory.
std::unique_ptr<MedianLanes> make_cuda_median_lanes(std::vector<int> widths, EdgeMode mode, float cval, int lanes);

}  // namespace streamsed
