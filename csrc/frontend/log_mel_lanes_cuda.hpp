#pragma once

#include <memory>

#include "frontend/log_mel_lanes.hpp"

namespace streamsed {

// On the current device. What is kept of a stream's samples stays there; the log-mel values are those of the CPU up to
// rounding (of the logarithm: 1e-5 for sound, more in bands that are far below the loudest one, as with any FFT of that
// precision). Not only the chunks but also where they go may be in device memory.
// Throws ConfigError naming `provider` without a device, n_fft if a frame does not fit into the shared memory of its
// multiprocessors, GpuOutOfMemory.
std::unique_ptr<LogMelLanes> make_cuda_log_mel_lanes(std::shared_ptr<const LogMel> log_mel, int lanes);

}  // namespace streamsed
