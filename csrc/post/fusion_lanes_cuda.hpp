#pragma once

#include <memory>

#include "post/fusion_lanes.hpp"

namespace streamsed {

// On the GPU that is in use when they are made. Ensembles have at most 64 members.
std::unique_ptr<FusionLanes> make_cuda_fusion_lanes();

}  // namespace streamsed
