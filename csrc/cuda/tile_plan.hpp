#pragma once

#include <cstdint>
#include <span>

#include "base/errors.hpp"

namespace streamsed::cuda {

// Fills first[c] with the number of the first tile of chunk c, and first[chunks] with how many there are.
// sizes(c): items of chunk c. Returns how many tiles every chunk has if they all have the same, and 0 otherwise.
// Throws ConfigError if there are more than a grid can have.
template <class Sizes>
std::uint32_t plan_tiles(std::span<std::uint32_t> first, std::int64_t items_per_tile, const Sizes& sizes) {
  constexpr std::int64_t kMostTiles = 0x7FFFFFFF;
  std::int64_t total = 0;
  std::int64_t each = -1;
  const std::size_t chunks = first.size() - 1;
  for (std::size_t c = 0; c < chunks; ++c) {
    first[c] = static_cast<std::uint32_t>(total);
    const std::int64_t tiles = (sizes(c) + items_per_tile - 1) / items_per_tile;
    each = each < 0 || each == tiles ? tiles : 0;
    total += tiles;
    require(total <= kMostTiles, "chunks", "fewer values in one call", "too many for a grid");
  }
  first[chunks] = static_cast<std::uint32_t>(total);
  return each < 0 ? 0 : static_cast<std::uint32_t>(each);
}

}  // namespace streamsed::cuda
