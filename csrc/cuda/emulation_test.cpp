#include "cuda/emulation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "cuda/kernel.hpp"
#include "cuda/memory.hpp"

namespace streamsed {
namespace {

using emulation::Order;

// What running the kernel leaves in `count` floats.
template <class Kernel>
std::vector<float> result(Kernel kernel, dim3 grid, dim3 block, std::size_t shared_bytes, std::size_t count) {
  const cuda::Stream stream;
  const cuda::DeviceBuffer<float> out(count);
  std::vector<float> host(count);
  cuda::launch(kernel, grid, block, shared_bytes, stream, out.data());
  cuda::copy(host.data(), out.data(), count, stream);
  stream.synchronize();
  return host;
}

class Emulation : public testing::Test {
 protected:
  void TearDown() override { emulation::set_schedule({}); }
  static std::vector<emulation::Schedule> schedules() {
    return {{Order::forward, 0}, {Order::reverse, 0}, {Order::shuffled, 1}, {Order::shuffled, 2}};
  }
};

__global__ void reverse_kernel(float* out) {
  auto* shared = cuda::shared_memory<float>();
  shared[threadIdx.x] = static_cast<float>(blockIdx.x * blockDim.x + threadIdx.x);
  __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

__global__ void reverse_without_barrier_kernel(float* out) {
  auto* shared = cuda::shared_memory<float>();
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

TEST_F(Emulation, BarriersMakeResultsIndependentOfTheOrder) {
  for (const emulation::Schedule schedule : schedules()) {
    emulation::set_schedule(schedule);
    const std::vector<float> out = result(&reverse_kernel, 3, 100, 400, 300);
    for (std::size_t i = 0; i < 300; ++i) EXPECT_EQ(out[i], static_cast<float>(i / 100 * 100 + 99 - i % 100));
  }
}

TEST_F(Emulation, AMissingBarrierShows) {
  for (const emulation::Schedule schedule : schedules()) {
    emulation::set_schedule(schedule);
    const std::vector<float> out = result(&reverse_without_barrier_kernel, 1, 64, 256, 64);
    EXPECT_TRUE(std::any_of(out.begin(), out.end(), [](float value) { return std::isnan(value); }));
  }
}

__global__ void warp_kernel(float* out) {
  const unsigned lane = threadIdx.x % 32;
  float sum = static_cast<float>(lane);
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, step);
  const float below = __shfl_up_sync(0xFFFFFFFFU, static_cast<float>(lane), 1, 8);
  const unsigned odd = __ballot_sync(0xFFFFFFFFU, static_cast<int>(lane % 2));
  double high = __shfl_down_sync(0xFFFFFFFFU, static_cast<double>(lane), 5);
  // Two halves of a warp do different things.
  if (lane < 16) {
    high += __shfl_sync(0x0000FFFFU, 100.0F, 3);
  } else {
    high += __shfl_sync(0xFFFF0000U, 200.0F, 20);
  }
  __syncwarp();
  const int count = __syncthreads_count(threadIdx.x < 5 ? 1 : 0);
  float* at = out + threadIdx.x * 5;
  at[0] = sum;
  at[1] = below;
  at[2] = odd == 0xAAAAAAAAU ? 1.0F : 0.0F;
  at[3] = static_cast<float>(high);
  at[4] = static_cast<float>(count);
}

TEST_F(Emulation, WarpOperations) {
  for (const emulation::Schedule schedule : schedules()) {
    emulation::set_schedule(schedule);
    const std::vector<float> out = result(&warp_kernel, 1, 96, 0, 480);
    for (unsigned thread = 0; thread < 96; ++thread) {
      const unsigned lane = thread % 32;
      const float* at = out.data() + thread * 5;
      EXPECT_EQ(at[0], 496.0F);
      EXPECT_EQ(at[1], static_cast<float>(lane % 8 == 0 ? lane : lane - 1));
      EXPECT_EQ(at[2], 1.0F);
      EXPECT_EQ(at[3], static_cast<float>((lane + 5 < 32 ? lane + 5 : lane) + (lane < 16 ? 100 : 200)));
      EXPECT_EQ(at[4], 5.0F);
    }
  }
}

__global__ void divergent_barrier_kernel(float* out) {
  if (threadIdx.x < 3) __syncthreads();
  out[threadIdx.x] = 0.0F;
}

__global__ void two_barriers_kernel(float* out) {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 0.0F;
}

__global__ void wrong_mask_kernel(float* out) { out[threadIdx.x] = __shfl_sync(0x3U, 1.0F, 2); }

__global__ void left_alone_kernel(float* out) {
  if (threadIdx.x != 7) __syncwarp();
  out[threadIdx.x] = 0.0F;
}

TEST_F(Emulation, BreakingTheRulesIsAnError) {
  for (const emulation::Schedule schedule : schedules()) {
    emulation::set_schedule(schedule);
    EXPECT_THROW(result(&divergent_barrier_kernel, 1, 64, 0, 64), emulation::Violation);
    EXPECT_THROW(result(&two_barriers_kernel, 1, 64, 0, 64), emulation::Violation);
    EXPECT_THROW(result(&wrong_mask_kernel, 1, 32, 0, 32), emulation::Violation);
    EXPECT_THROW(result(&left_alone_kernel, 1, 32, 0, 32), emulation::Violation);
    EXPECT_THROW(result(&reverse_kernel, 1, 1025, 8192, 2048), emulation::Violation);
    EXPECT_THROW(result(&reverse_kernel, 1, 32, std::size_t{1} << 20, 32), emulation::Violation);
    // The device is usable afterwards.
    EXPECT_EQ(result(&reverse_kernel, 1, 2, 8, 2), (std::vector<float>{1.0F, 0.0F}));
  }
}

__global__ void silent_kernel(float*) {}

TEST_F(Emulation, WhatNobodyWroteIsNan) {
  const std::vector<float> out = result(&silent_kernel, 1, 32, 0, 4);
  for (const float value : out) EXPECT_TRUE(std::isnan(value));
}

TEST_F(Emulation, NothingRunsBeforeSomebodyWaits) {
  const cuda::Stream stream;
  const cuda::DeviceBuffer<float> out(2);
  std::vector<float> host(2, 5.0F);
  cuda::launch(&reverse_kernel, 1, 2, 8, stream, out.data());
  cuda::copy(host.data(), out.data(), 2, stream);
  EXPECT_EQ(host, (std::vector<float>{5.0F, 5.0F}));
  stream.synchronize();
  EXPECT_EQ(host, (std::vector<float>{1.0F, 0.0F}));
}

}  // namespace
}  // namespace streamsed
