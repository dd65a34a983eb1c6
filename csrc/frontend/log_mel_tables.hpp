#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "frontend/log_mel_config.hpp"

namespace streamsed {

// Division by a number that is known beforehand, as one multiplication: exact for 0 <= n with (n + 1) by <= 2^32.
struct Divisor {
  std::uint32_t by = 1;
  std::uint32_t reciprocal = 0xFFFFFFFF;  // floor((2^32 - 1) / by)

  constexpr Divisor() = default;
  constexpr explicit Divisor(int number)
      : by(static_cast<std::uint32_t>(number)), reciprocal(0xFFFFFFFFU / static_cast<std::uint32_t>(number)) {}
  constexpr int quotient(int n) const {
    const auto next = static_cast<std::uint32_t>(n) + 1;
    return static_cast<int>(static_cast<std::uint64_t>(next) * reciprocal >> 32);
  }
  constexpr int number() const { return static_cast<int>(by); }
};

// One pass of a Stockham FFT of N points: butterfly (p, q), p < columns, q < stride, takes the elements
// q + stride (p + j columns), j < radix, and writes w_length^(p j) times their DFT to q + stride (radix p + j).
struct TablePass {
  std::int32_t radix;
  std::int32_t columns;  // length / radix
  Divisor stride;
  Divisor butterflies;    // N / radix
  std::int32_t twiddles;  // complex values before those of this pass: (j - 1) columns + p -> w_length^(p j)
};

// A mel band over whole groups of four bins; the weights behind the band's end are 0.
struct alignas(16) TableBand {
  std::int32_t first_bin;
  std::int32_t groups;
  std::int32_t weights;  // number of the first one
  std::int32_t unused;
};

// What is constant for one front-end, in the form that kernels with one thread per value read: neighbouring threads
// find neighbouring numbers. Complex values are interleaved. The real FFT of n_fft points is a complex one of
// N = n_fft / 2 on even samples + i·odd samples, then X[k] = E + w_{2N}^k O.
template <class T>
struct LogMelTables {
  // `largest_radix` >= 16: passes of radix 16 as long as they come out even and one of 8, 4 or 2, for an N that is a
  // power of two; otherwise those of fft_radices.
  LogMelTables(const LogMelConfig& config, int largest_radix);

  std::vector<T> window;  // n_fft values, 0 behind window_length; carries the factor 1/2 of E and O
  std::vector<TablePass> passes;
  std::vector<T> twiddles;
  std::vector<T> roots;   // w_N^k, k < N
  std::vector<T> unpack;  // w_{2N}^k, k <= N / 2
  std::vector<TableBand> bands;
  std::vector<T> weights;
  std::vector<T> scale;  // normalisation: out = x * scale[m] + shift[m]
  std::vector<T> shift;
};

}  // namespace streamsed
