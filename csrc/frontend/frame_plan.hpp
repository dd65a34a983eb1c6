#pragma once

#include <cstdint>
#include <vector>

#include "base/dispatch.hpp"
#include "frontend/aligned.hpp"
#include "frontend/log_mel_config.hpp"

namespace streamsed {

// Factors of n in the order of the passes: 8, 4 and 2, then odd primes.
std::vector<int> fft_radices(int n);

// The window_length values of the analysis window.
std::vector<double> window_shape(const LogMelConfig& config);

// One pass of a Stockham FFT: radix r on sequences of length n at stride s.
struct FftPass {
  int radix;
  int length;            // n of this pass
  int stride;            // s of this pass
  std::size_t twiddles;  // offset into FramePlan::pass_twiddles: (p, j) -> w_n^(p j) for p in 1..n/r-1, j in 1..r-1
  std::size_t roots;     // offset into FramePlan::roots for a radix without a hand-written butterfly
};

// Mel bands in blocks of `mel_lanes` neighbours: every bin of the block's range has a row of mel_lanes weights.
struct MelBlock {
  std::int32_t first_bin;
  std::int32_t bins;    // multiple of 4: rows of zeros are added
  std::size_t weights;  // offset into FramePlan::mel_weights
};

// Everything that is constant for one front-end, in the form that the kernels read. Shared by all streams.
//
// The real FFT of n_fft points is a complex one of N = n_fft / 2 on even samples + i·odd samples. N is split as
// n = lanes·m + l: FFTs of length M = N / lanes along m with all lanes l at once (no shuffles), twiddles w_N^(l·k1),
// then DFTs of length `lanes` across l after a transpose, so that output k1 + M·k2 lies in order.
template <class T>
struct FramePlan {
  FramePlan(const LogMelConfig& config, Isa isa);

  Isa isa;
  int half;            // N
  int lanes;           // largest power of two that divides N, up to the native width
  int columns;         // M
  int columns_padded;  // M rounded up to a multiple of lanes
  int window_length;
  int n_mels;
  int mel_lanes;  // native width
  bool magnitude;
  LogKind log;
  T floor;
  T clamp_min;
  T clamp_max;
  bool affine;              // fixed normalisation: out = x * scale[m] + shift[m]
  AlignedVector<T> window;  // n_fft values, zero behind window_length; carries the factor 1/2 of the unpacking
  std::vector<FftPass> passes;
  AlignedVector<T> pass_twiddles;  // interleaved re, im
  AlignedVector<T> roots;          // interleaved re, im: w_r^i
  AlignedVector<T> lane_twiddles;  // per k1: lanes re, lanes im of w_N^(l·k1)
  AlignedVector<T> unpack;         // w_{2N}^k for k in 0..N/2 + lanes: blocks of lanes re, lanes im
  std::vector<MelBlock> blocks;
  AlignedVector<T> mel_weights;
  AlignedVector<T> scale;  // n_mels padded to mel_lanes
  AlignedVector<T> shift;
  std::vector<int> empty_bands;  // bands without any bin

  // Scratch of one worker, in elements of T.
  std::size_t scratch_size() const;
  std::size_t fft_buffer_size() const;    // one of re / im
  std::size_t power_buffer_size() const;  // one frame
};

// Frames computed together in the mel product; the weights are read once for all of them.
inline constexpr int kFramesPerBlock = 4;

// Computes `count` frames: frame t reads window_length samples from samples + t * hop and writes n_mels values to
// out + t * n_mels. The arithmetic of a frame does not depend on count or position.
template <class T>
using FrameKernel = void (*)(const FramePlan<T>& plan, const float* samples, std::int64_t count, std::int64_t hop,
                             T* scratch, float* out);

template <class T>
FrameKernel<T> frame_kernel(Isa isa);

// Lanes of T in a register of that instruction set.
template <class T>
int native_lanes(Isa isa);

}  // namespace streamsed
