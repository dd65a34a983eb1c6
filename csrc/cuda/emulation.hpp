#pragma once

// As much of the CUDA language as the kernels here use, for a CPU, so that their source can be run and checked where
// there is no GPU: a block's threads are fibers that take turns at barriers and warp operations, in an order that a
// test chooses. A missing barrier shows as a result that depends on the order, a value that nobody wrote as NaN.
// Included through cuda/kernel.hpp.

#include <math.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <type_traits>

// NOLINTBEGIN(bugprone-reserved-identifier): these are CUDA's names.
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__

namespace streamsed {

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }

inline constinit thread_local uint3 threadIdx{};
inline constinit thread_local uint3 blockIdx{};
inline constinit thread_local dim3 blockDim{};
inline constinit thread_local dim3 gridDim{};
inline constexpr int warpSize = 32;

namespace emulation {

// A kernel that breaks a rule of CUDA: a barrier that not all threads reach, a shuffle with a thread that is not there.
class Violation : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// In which order the threads of a block take turns, and the blocks of a grid follow each other.
enum class Order { forward, reverse, shuffled };
struct Schedule {
  Order order = Order::forward;
  std::uint64_t seed = 0;
};
void set_schedule(Schedule schedule);

// Runs body once for each thread of each block. Throws Violation.
void run_grid(dim3 grid, dim3 block, std::size_t shared_bytes, const std::function<void()>& body);

void* shared_bytes();
// Returns the sum of the block's predicates.
int barrier(int predicate, const std::source_location& where);
using WarpValues = std::array<std::uint64_t, 32>;
// Each thread of the mask gives a value and gets those of all of them.
const WarpValues& warp_exchange(unsigned mask, std::uint64_t value, const std::source_location& where);
unsigned lane_of_warp();
// `lane` if it takes part in a shuffle with this mask. Throws Violation.
unsigned checked_source(unsigned mask, unsigned lane, const std::source_location& where);

template <class T>
T shuffle(unsigned mask, T value, unsigned source, const std::source_location& where) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  const WarpValues& values = warp_exchange(mask, bits, where);
  bits = values[checked_source(mask, source, where)];
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace emulation

using Where = std::source_location;

inline void __syncthreads(const Where& where = Where::current()) { emulation::barrier(0, where); }
inline int __syncthreads_count(int predicate, const Where& where = Where::current()) {
  return emulation::barrier(predicate != 0 ? 1 : 0, where);
}
inline int __syncthreads_or(int predicate, const Where& where = Where::current()) {
  return __syncthreads_count(predicate, where) != 0 ? 1 : 0;
}
inline int __syncthreads_and(int predicate, const Where& where = Where::current()) {
  return __syncthreads_count(predicate == 0 ? 1 : 0, where) == 0 ? 1 : 0;
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, const Where& where = Where::current()) {
  emulation::warp_exchange(mask, 0, where);
}

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, const Where& where = Where::current()) {
  const unsigned lane = emulation::lane_of_warp();
  const auto w = static_cast<unsigned>(width);
  return emulation::shuffle(mask, value, lane / w * w + static_cast<unsigned>(source) % w, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, const Where& where = Where::current()) {
  const unsigned lane = emulation::lane_of_warp();
  const unsigned in_segment = lane % static_cast<unsigned>(width);
  return emulation::shuffle(mask, value, in_segment >= delta ? lane - delta : lane, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, const Where& where = Where::current()) {
  const unsigned lane = emulation::lane_of_warp();
  const auto w = static_cast<unsigned>(width);
  return emulation::shuffle(mask, value, lane % w + delta < w ? lane + delta : lane, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, const Where& where = Where::current()) {
  const unsigned lane = emulation::lane_of_warp();
  const auto w = static_cast<unsigned>(width);
  const unsigned source = lane ^ static_cast<unsigned>(lane_mask);
  return emulation::shuffle(mask, value, source < (lane / w + 1) * w ? source : lane, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, const Where& where = Where::current()) {
  const emulation::WarpValues& values = emulation::warp_exchange(mask, predicate != 0 ? 1 : 0, where);
  unsigned votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1U) != 0 && values[lane] == 1) votes |= 1U << lane;
  }
  return votes;
}
inline int __any_sync(unsigned mask, int predicate, const Where& where = Where::current()) {
  return __ballot_sync(mask, predicate, where) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate, const Where& where = Where::current()) {
  return __ballot_sync(mask, predicate == 0 ? 1 : 0, where) == 0 ? 1 : 0;
}

template <class T>
T __ldg(const T* from) {
  return *from;
}

// One thread runs at a time, so that plain operations are atomic.
template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  *at += value;
  return before;
}
template <class T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  *at |= value;
  return before;
}
template <class T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  if (value < before) *at = value;
  return before;
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  const T before = *at;
  if (value > before) *at = value;
  return before;
}

template <class T>
constexpr T min(T a, std::type_identity_t<T> b) {
  return b < a ? b : a;
}
template <class T>
constexpr T max(T a, std::type_identity_t<T> b) {
  return a < b ? b : a;
}
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fsqrt_rn(float a) { return sqrtf(a); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline float rsqrtf(float a) { return 1.0F / sqrtf(a); }
inline double rsqrt(double a) { return 1.0 / sqrt(a); }
inline float __logf(float a) { return logf(a); }
inline float __expf(float a) { return expf(a); }
inline int __popc(unsigned a) { return std::popcount(a); }
inline int __clz(int a) { return std::countl_zero(static_cast<unsigned>(a)); }
inline int __ffs(int a) { return a == 0 ? 0 : std::countr_zero(static_cast<unsigned>(a)) + 1; }
inline unsigned __float_as_uint(float a) { return std::bit_cast<unsigned>(a); }
inline int __float_as_int(float a) { return std::bit_cast<int>(a); }
inline float __uint_as_float(unsigned a) { return std::bit_cast<float>(a); }
inline float __int_as_float(int a) { return std::bit_cast<float>(a); }
// NOLINTEND(bugprone-reserved-identifier)

}  // namespace streamsed
