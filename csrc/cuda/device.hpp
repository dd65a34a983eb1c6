#pragma once

#include <cstddef>
#include <string>

namespace streamsed::cuda {

// "cuda 13.0: sm_80 sm_90 ptx_90", "emulated" or "none".
std::string build();

// Devices that can be used: 0 without a GPU, without a driver or with one that is too old.
int device_count();

// The device in use in words, or why there is none.
std::string describe();

// Shared memory that a block of the device in use can have at most.
std::size_t most_shared_bytes();

// Throws ConfigError naming `provider` unless there is a device.
void require_device();

}  // namespace streamsed::cuda
