#pragma once

#include <memory>

#include "frontend/log_mel_lanes.hpp"

namespace streamsed {

// On the current device, where also the samples stay that are kept between calls. Chunks and results may be in any
// memory. The values are those of the CPU up to rounding: 1e-5 in the logarithm for sound that fills its bands. In
// bands that are 50 dB and more below the loudest one, single precision knows less of them, here as on the CPU, whose
// own instruction sets differ there by as much as they do from this; double precision agrees to 3e-6 everywhere. Throws
// ConfigError naming `provider` without a device, n_fft if a frame does not fit into the shared memory of its
// multiprocessors, GpuOutOfMemory.
std::unique_ptr<LogMelLanes> make_cuda_log_mel_lanes(std::shared_ptr<const LogMel> log_mel, int lanes);

}  // namespace streamsed
