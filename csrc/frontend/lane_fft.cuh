#pragma once

// Butterflies and complex arithmetic of the FFTs on a device, after those of log_mel_kernel.cpp; each thread has its
// own values. Products and sums are left to the compiler, which makes fused multiply-adds of them.

#include <type_traits>

#include "cuda/kernel.hpp"

namespace streamsed::lane_fft {

template <class T>
using Complex = std::conditional_t<std::is_same_v<T, float>, float2, double2>;

template <class C>
__device__ __forceinline__ C add(C a, C b) {
  return {a.x + b.x, a.y + b.y};
}
template <class C>
__device__ __forceinline__ C sub(C a, C b) {
  return {a.x - b.x, a.y - b.y};
}
template <class C>
__device__ __forceinline__ C times_minus_i(C a) {
  return {a.y, -a.x};
}
template <class C>
__device__ __forceinline__ C mul(C a, C w) {
  return {a.x * w.x - a.y * w.y, a.x * w.y + a.y * w.x};
}
template <class C>
__device__ __forceinline__ C mul_root(C a, double re, double im) {
  using T = decltype(a.x);
  return mul(a, C{static_cast<T>(re), static_cast<T>(im)});
}

template <class C>
__device__ __forceinline__ void dft4(C& a, C& b, C& c, C& d) {
  const C s = add(a, c);
  const C t = sub(a, c);
  const C u = add(b, d);
  const C v = times_minus_i(sub(b, d));
  a = add(s, u);
  b = add(t, v);
  c = sub(s, u);
  d = sub(t, v);
}

// DFT of R values in place, outputs in natural order.
template <int R, class C>
__device__ __forceinline__ void dft(C (&x)[R]) {
  using T = decltype(x[0].x);
  constexpr double kHalfRoot = 0.70710678118654752440;
  if constexpr (R == 2) {
    const C sum = add(x[0], x[1]);
    x[1] = sub(x[0], x[1]);
    x[0] = sum;
  } else if constexpr (R == 3) {
    const C s = add(x[1], x[2]);
    const C d = sub(x[1], x[2]);
    constexpr T kRoot = static_cast<T>(0.86602540378443864676);
    const C m = {x[0].x - s.x / 2, x[0].y - s.y / 2};
    const C t = {d.y * kRoot, -d.x * kRoot};
    x[0] = add(x[0], s);
    x[1] = add(m, t);
    x[2] = sub(m, t);
  } else if constexpr (R == 4) {
    dft4(x[0], x[1], x[2], x[3]);
  } else if constexpr (R == 5) {
    constexpr T c1 = static_cast<T>(0.30901699437494742410);
    constexpr T c2 = static_cast<T>(-0.80901699437494742410);
    constexpr T s1 = static_cast<T>(0.95105651629515357212);
    constexpr T s2 = static_cast<T>(0.58778525229247312917);
    const C a = add(x[1], x[4]);
    const C b = sub(x[1], x[4]);
    const C c = add(x[2], x[3]);
    const C d = sub(x[2], x[3]);
    const C m1 = {x[0].x + a.x * c1 + c.x * c2, x[0].y + a.y * c1 + c.y * c2};
    const C m2 = {x[0].x + a.x * c2 + c.x * c1, x[0].y + a.y * c2 + c.y * c1};
    const C t1 = {b.y * s1 + d.y * s2, -b.x * s1 - d.x * s2};
    const C t2 = {b.y * s2 - d.y * s1, -b.x * s2 + d.x * s1};
    x[0] = add(x[0], add(a, c));
    x[1] = add(m1, t1);
    x[2] = add(m2, t2);
    x[3] = sub(m2, t2);
    x[4] = sub(m1, t1);
  } else if constexpr (R == 8) {
    dft4(x[0], x[2], x[4], x[6]);
    dft4(x[1], x[3], x[5], x[7]);
    constexpr T h = static_cast<T>(kHalfRoot);
    x[3] = {(x[3].x + x[3].y) * h, (x[3].y - x[3].x) * h};
    x[5] = times_minus_i(x[5]);
    x[7] = {(x[7].y - x[7].x) * h, -(x[7].x + x[7].y) * h};
    const C even[4] = {x[0], x[2], x[4], x[6]};
    const C odd[4] = {x[1], x[3], x[5], x[7]};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      x[i] = add(even[i], odd[i]);
      x[i + 4] = sub(even[i], odd[i]);
    }
  } else {
    // 4 x 4: columns, the twiddles w_16^(i j), rows.
    static_assert(R == 16);
    constexpr double c1 = 0.92387953251128675613;
    constexpr double s1 = 0.38268343236508977173;
    constexpr double h = kHalfRoot;
#pragma unroll
    for (int i = 0; i < 4; ++i) dft4(x[i], x[i + 4], x[i + 8], x[i + 12]);
    x[5] = mul_root(x[5], c1, -s1);
    x[6] = mul_root(x[6], h, -h);
    x[7] = mul_root(x[7], s1, -c1);
    x[9] = mul_root(x[9], h, -h);
    x[10] = times_minus_i(x[10]);
    x[11] = mul_root(x[11], -h, -h);
    x[13] = mul_root(x[13], s1, -c1);
    x[14] = mul_root(x[14], -h, -h);
    x[15] = mul_root(x[15], -c1, s1);
#pragma unroll
    for (int i = 0; i < 4; ++i) dft4(x[4 * i], x[4 * i + 1], x[4 * i + 2], x[4 * i + 3]);
    C y[16];
#pragma unroll
    for (int i = 0; i < 16; ++i) y[i] = x[i];
#pragma unroll
    for (int i = 0; i < 16; ++i) x[i] = y[4 * (i % 4) + i / 4];
  }
}

// ---- N = 16 · threads, a power of two: thread t of a frame holds the elements t + threads · c in registers
// ------------

// Where an element lies in the exchange buffer. Half a warp moves 16 complex values of 8 bytes, one for each pair of
// banks: neighbours (reads, and writes of later passes) and elements 16 apart (writes of the first pass) both fall into
// different pairs. Linear over xor: swizzle(a + b) = swizzle(a) ^ swizzle(b) where a and b have no bit in common.
__host__ __device__ constexpr int swizzle(int i) { return i ^ ((i >> 4) & 15); }

template <int Threads>
__device__ __forceinline__ void frame_barrier() {
  if constexpr (Threads <= 32) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

// All passes from the one of this stride on: 16 · Threads points in, Z[t + Threads · c] in x[c] out. The exchange
// buffer must be free when the first pass writes, and may still be read by neighbours at the end.
template <int Threads, int Stride = 1>
__device__ __forceinline__ void fft(float2 (&x)[16], float2* exchange, const float2* __restrict__ twiddles, int t) {
  constexpr int kLength = 16 * Threads / Stride;
  constexpr int kRadix = kLength < 16 ? kLength : 16;
  constexpr int kButterflies = 16 / kRadix;
  constexpr int kColumns = kLength / kRadix;
#pragma unroll
  for (int i = 0; i < kButterflies; ++i) {
    float2 y[kRadix];
#pragma unroll
    for (int j = 0; j < kRadix; ++j) y[j] = x[i + kButterflies * j];
    dft<kRadix>(y);
#pragma unroll
    for (int j = 0; j < kRadix; ++j) x[i + kButterflies * j] = y[j];
  }
  if constexpr (kColumns > 1) {
    const int p = t / Stride;
    const int q = t % Stride;
#pragma unroll
    for (int j = 1; j < 16; ++j) x[j] = mul(x[j], __ldg(twiddles + (j - 1) * kColumns + p));
    if constexpr (Stride > 1) frame_barrier<Threads>();
    const int to = swizzle(q + 16 * Stride * p);
#pragma unroll
    for (int j = 0; j < 16; ++j) exchange[to ^ swizzle(Stride * j)] = x[j];
    frame_barrier<Threads>();
    const int from = swizzle(t);
#pragma unroll
    for (int c = 0; c < 16; ++c) x[c] = exchange[from ^ swizzle(Threads * c)];
    fft<Threads, 16 * Stride>(x, exchange, twiddles + 15 * kColumns, t);
  }
}

}  // namespace streamsed::lane_fft
