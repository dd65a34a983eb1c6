#pragma once

// How blocks share ragged work: every chunk is a whole number of tiles, one block does one tile.

#include <cstdint>

#include "cuda/kernel.hpp"

namespace streamsed::cuda {

struct Tile {
  std::uint32_t chunk;
  std::uint32_t number;  // within the chunk
};

// Tiles of chunk c are [first[c], first[c + 1]). Where all chunks have equally many, `each` is that number, and nothing
// is looked up.
struct Tiles {
  const std::uint32_t* first;
  std::uint32_t chunks;
  std::uint32_t each;

  __device__ __forceinline__ Tile locate(std::uint32_t tile) const {
    if (each > 0) return {tile / each, tile % each};
    std::uint32_t low = 0;
    std::uint32_t high = chunks;
    // Invariant: first[low] <= tile < first[high]; empty chunks are never found.
    while (high - low > 1) {
      const std::uint32_t middle = (low + high) / 2;
      if (first[middle] <= tile) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return {low, tile - first[low]};
  }
};

}  // namespace streamsed::cuda
