#include "post/clip_pooling.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/errors.hpp"

namespace streamsed {
namespace {

constexpr std::int64_t labels = 3;
constexpr std::uint64_t one = std::uint64_t{1} << 24U;

struct Clip {
  std::vector<float> posteriors;
  std::vector<char> present;  // not vector<bool>, which has no data()

  std::int64_t rows() const { return static_cast<std::int64_t>(present.size()); }
  const bool* flags() const { return reinterpret_cast<const bool*>(present.data()); }
};

Clip random_clip(std::int64_t rows, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> values(0.0F, 1.0F);
  Clip clip;
  for (std::int64_t row = 0; row < rows; ++row) {
    clip.present.push_back(values(generator) < 0.8F ? 1 : 0);
    for (std::int64_t k = 0; k < labels; ++k) {
      clip.posteriors.push_back(clip.present.back() != 0 ? values(generator) : std::numeric_limits<float>::quiet_NaN());
    }
  }
  return clip;
}

// Sums of the newest `window` rows, anew.
void expect_sums_of_the_newest(const ClipPooling& pooling, const Clip& clip, std::int64_t end, std::int64_t window) {
  const std::int64_t begin = window == 0 ? 0 : std::max<std::int64_t>(0, end - window);
  std::int64_t present = 0;
  for (std::int64_t k = 0; k < labels; ++k) {
    std::uint64_t sum = 0;
    std::uint64_t squares = 0;  // of a test this short, no overflow
    std::uint32_t largest = 0;
    present = 0;
    for (std::int64_t row = begin; row < end; ++row) {
      if (clip.present[static_cast<std::size_t>(row)] == 0) continue;
      ++present;
      const float value = clip.posteriors[static_cast<std::size_t>(row * labels + k)];
      const auto steps = static_cast<std::uint32_t>(std::lrint(std::ldexp(static_cast<double>(value), 24)));
      sum += steps;
      squares += std::uint64_t{steps} * steps;
      largest = std::max(largest, steps);
    }
    const auto at = static_cast<std::size_t>(k);
    EXPECT_EQ(pooling.sums()[at], sum);
    EXPECT_EQ(pooling.squares()[at].low, squares);
    EXPECT_EQ(pooling.squares()[at].high, 0U);
    EXPECT_EQ(pooling.largest()[at], largest);
  }
  EXPECT_EQ(pooling.present(), present);
  EXPECT_EQ(pooling.span(), end - begin);
}

TEST(ClipPooling, SumsTheNewestFrames) {
  const Clip clip = random_clip(200, 1);
  for (const std::int64_t window : {0, 1, 7, 50, 1000}) {
    ClipPooling pooling(labels, window);
    for (std::int64_t end = 0, rows = 0; end < clip.rows(); rows = (rows + 1) % 13) {
      const std::int64_t count = std::min(rows, clip.rows() - end);
      ASSERT_TRUE(pooling.add(clip.posteriors.data() + end * labels, clip.flags() + end, count));
      end += count;
      expect_sums_of_the_newest(pooling, clip, end, window);
    }
  }
}

TEST(ClipPooling, MovesOnOverLostFrames) {
  for (const std::int64_t lost : {1, 5, 9, 10, 11, 1000000}) {
    ClipPooling pooling(labels, 10);
    const std::vector<float> ones(8 * labels, 1.0F);
    ASSERT_TRUE(pooling.add(ones.data(), nullptr, 8));
    pooling.gap(lost);
    const std::int64_t left = std::clamp<std::int64_t>(10 - lost, 0, 8);
    EXPECT_EQ(pooling.present(), left);
    EXPECT_EQ(pooling.span(), std::min<std::int64_t>(10, 8 + lost));
    EXPECT_EQ(pooling.sums()[0], static_cast<std::uint64_t>(left) * one);
    EXPECT_EQ(pooling.largest()[0], left > 0 ? one : 0);
    ASSERT_TRUE(pooling.add(ones.data(), nullptr, 1));
    EXPECT_EQ(pooling.present(), std::min<std::int64_t>(left, lost >= 10 ? 0 : 9 - lost) + 1);
  }
}

TEST(ClipPooling, CarriesBeyond64Bits) {
  ClipPooling::Sum sum;
  constexpr std::uint64_t large = std::uint64_t{1} << 63U;
  for (int i = 0; i < 5; ++i) sum.add(large);
  EXPECT_EQ(sum.high, 2U);
  EXPECT_EQ(sum.low, large);
  for (int i = 0; i < 4; ++i) sum.subtract(large);
  EXPECT_EQ(sum.high, 0U);
  EXPECT_EQ(sum.low, large);
  sum.add(1);
  sum.subtract(large);
  EXPECT_EQ(sum.high, 0U);
  EXPECT_EQ(sum.low, 1U);
}

TEST(ClipPooling, ChangesNothingWhereAValueIsNoPosterior) {
  for (const float bad : {-0.001F, 1.001F, std::numeric_limits<float>::quiet_NaN()}) {
    ClipPooling pooling(labels, 10);
    const std::vector<float> values = {0.5F, 0.5F, 0.5F, 0.5F, bad, 0.5F};
    EXPECT_FALSE(pooling.add(values.data(), nullptr, 2));
    EXPECT_EQ(pooling.present(), 0);
    EXPECT_EQ(pooling.sums()[0], 0U);
    const bool present[] = {true, false};
    EXPECT_TRUE(pooling.add(values.data(), present, 2));
    EXPECT_EQ(pooling.present(), 1);
    EXPECT_EQ(pooling.span(), 2);
  }
}

TEST(ClipPooling, RefusesWhatItCannotUse) {
  EXPECT_THROW(ClipPooling(0, 0), ConfigError);
  EXPECT_THROW(ClipPooling(1, -1), ConfigError);
  ClipPooling pooling(1, 0);
  EXPECT_THROW(pooling.gap(-1), ConfigError);
}

}  // namespace
}  // namespace streamsed
