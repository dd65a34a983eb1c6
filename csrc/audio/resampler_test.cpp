#include "audio/resampler.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "base/errors.hpp"
#include "testing/allocation_counter.hpp"

namespace streamsed {
namespace {

std::vector<float> noise(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> values(-1.0F, 1.0F);
  std::vector<float> result(count);
  for (float& value : result) value = values(generator);
  return result;
}

std::shared_ptr<const PolyphaseTaps> taps_of(std::int64_t up, std::int64_t down, std::int64_t half) {
  return std::make_shared<const PolyphaseTaps>(noise(static_cast<std::size_t>(up * 2 * half), 1), up, down);
}

// Output n of an endless signal that is zero outside `samples`, in double precision.
double by_definition(const PolyphaseTaps& taps, const std::vector<float>& samples, std::int64_t n,
                     std::int64_t offset) {
  const std::int64_t position = n * taps.down() + offset;
  const std::int64_t whole = position / taps.up();
  const float* row = taps.phase(position % taps.up());
  double sum = 0.0;
  for (std::int64_t tap = 0; tap < 2 * taps.half(); ++tap) {
    const std::int64_t input = whole - (taps.half() - 1) + tap;
    if (input < 0 || input >= static_cast<std::int64_t>(samples.size())) continue;
    sum += static_cast<double>(samples[static_cast<std::size_t>(input)]) * static_cast<double>(row[tap]);
  }
  return sum;
}

std::vector<float> run(Resampler& resampler, const std::vector<float>& samples, std::size_t chunk) {
  std::vector<float> result;
  const auto grow = [&result](std::int64_t count) {
    result.resize(result.size() + static_cast<std::size_t>(count));
    return result.data() + result.size() - count;
  };
  for (std::size_t begin = 0; begin < samples.size(); begin += chunk) {
    const auto count = static_cast<std::int64_t>(std::min(chunk, samples.size() - begin));
    float* out = grow(resampler.outputs_after(count));
    resampler.process(samples.data() + begin, count, out);
  }
  resampler.flush(grow(resampler.outputs_at_end()));
  return result;
}

struct Case {
  std::int64_t up, down, half, offset;
};
const std::vector<Case> cases = {{1, 3, 9, 0},  {2, 1, 3, 0},    {160, 441, 133, 37},
                                 {3, 1, 48, 5}, {7, 5, 1, 1000}, {1, 2, 8, 11}};

TEST(Resampler, GivesTheDotProductsOfItsDefinition) {
  const std::vector<float> samples = noise(1200, 2);
  for (const Case& item : cases) {
    const auto taps = taps_of(item.up, item.down, item.half);
    Resampler resampler(taps);
    resampler.reset(item.offset);
    const std::vector<float> found = run(resampler, samples, 100);
    const double expected_count = static_cast<double>(1200 * item.up - item.offset) / static_cast<double>(item.down);
    EXPECT_NEAR(static_cast<double>(found.size()), expected_count, 0.5 + 1e-9);
    for (std::size_t n = 0; n < found.size(); ++n) {
      const double expected = by_definition(*taps, samples, static_cast<std::int64_t>(n), item.offset);
      ASSERT_NEAR(static_cast<double>(found[n]), expected, 1e-4) << item.up << '/' << item.down << " output " << n;
    }
  }
}

TEST(Resampler, GivesTheSameBitsForEveryChunk) {
  const std::vector<float> samples = noise(1200, 3);
  for (const Case& item : cases) {
    Resampler resampler(taps_of(item.up, item.down, item.half));
    resampler.reset(item.offset);
    const std::vector<float> expected = run(resampler, samples, samples.size());
    for (const std::size_t chunk : {1U, 2U, 3U, 7U, 64U, 640U}) {
      resampler.reset(item.offset);
      EXPECT_EQ(run(resampler, samples, chunk), expected) << item.up << '/' << item.down << " chunk " << chunk;
    }
  }
}

TEST(Resampler, PassesThroughWithoutTaps) {
  Resampler resampler(std::make_shared<const PolyphaseTaps>(std::vector<float>{}, 1, 1));
  const std::vector<float> samples = noise(100, 4);
  EXPECT_EQ(run(resampler, samples, 7), samples);
  resampler.reset(30);
  EXPECT_EQ(run(resampler, samples, 7), std::vector<float>(samples.begin() + 30, samples.end()));
}

TEST(Resampler, CountsBeyond32Bits) {
  // Inputs times `up` pass 2^32 after 16384 of them; a tap of 1 gives the nearest input before each output.
  constexpr std::int64_t up = 1 << 18;
  std::vector<float> taps(2 * up, 0.0F);
  for (std::size_t i = 0; i < taps.size(); i += 2) taps[i] = 1.0F;
  Resampler resampler(std::make_shared<const PolyphaseTaps>(taps, up, up + 1));
  const std::vector<float> samples = noise(20000, 5);
  const std::vector<float> found = run(resampler, samples, 640);
  ASSERT_EQ(found.size(), samples.size());
  EXPECT_EQ(found, samples);
}

TEST(Resampler, DoesNotAllocateOnceItHasRun) {
  Resampler resampler(taps_of(1, 3, 144));
  const std::vector<float> samples = noise(1920, 6);
  std::vector<float> out(1000);
  for (int i = 0; i < 3; ++i) resampler.process(samples.data(), 1920, out.data());
  const std::int64_t before = allocation_count();
  for (int i = 0; i < 100; ++i) resampler.process(samples.data(), 1920, out.data());
  EXPECT_EQ(allocation_count(), before);
}

TEST(Resampler, RefusesWhatItCannotUse) {
  EXPECT_THROW(PolyphaseTaps({1.0F, 1.0F, 1.0F}, 1, 1), ConfigError);
  EXPECT_THROW(PolyphaseTaps({}, 1, 2), ConfigError);
  EXPECT_THROW(PolyphaseTaps({}, 0, 1), ConfigError);
  Resampler resampler(taps_of(1, 3, 9));
  EXPECT_THROW(resampler.reset(-1), ConfigError);
  std::vector<float> out(100);
  resampler.flush(out.data());
  EXPECT_THROW(resampler.flush(out.data()), StateError);
  EXPECT_THROW(resampler.process(out.data(), 1, out.data()), StateError);
  resampler.reset(0);
  resampler.process(out.data(), 1, out.data());
}

}  // namespace
}  // namespace streamsed
