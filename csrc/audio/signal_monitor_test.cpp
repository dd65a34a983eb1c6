#include "audio/signal_monitor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/errors.hpp"
#include "testing/allocation_counter.hpp"

namespace streamsed {
namespace {

constexpr std::int64_t rate = 1000;
constexpr std::int64_t step = 40;
using Found = std::vector<std::pair<SignalCondition, std::int64_t>>;

std::vector<float> tone(std::int64_t count) {
  std::vector<float> samples;
  for (std::int64_t i = 0; i < count; ++i) samples.push_back(0.3F * std::sin(0.7F * static_cast<float>(i) + 0.1F));
  return samples;
}

Found run(SignalMonitor& monitor, const std::vector<float>& samples, int channels = 1, std::int64_t position = 0) {
  Found found;
  const auto frames = static_cast<std::int64_t>(samples.size()) / channels;
  for (std::int64_t begin = 0; begin < frames; begin += step) {
    monitor.process(samples.data() + begin * channels, std::min(step, frames - begin), channels, position + begin);
    for (const SignalFinding& finding : monitor.findings()) found.emplace_back(finding.condition, finding.position);
  }
  return found;
}

TEST(SignalMonitor, FindsNothingInSound) {
  SignalMonitor monitor(rate);
  EXPECT_EQ(run(monitor, tone(20 * rate)), Found{});
}

TEST(SignalMonitor, GivesBackTheSamplesThemselvesWhereTheyAreSound) {
  SignalMonitor monitor(rate);
  const std::vector<float> samples = tone(step);
  EXPECT_EQ(monitor.process(samples.data(), step, 1, 0), samples.data());
}

TEST(SignalMonitor, ReplacesWhatCannotBeUsed) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  for (const float bad :
       {inf, -inf, std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN(), 1.1e6F, -1e30F}) {
    SignalMonitor monitor(rate);
    std::vector<float> samples = tone(step);
    std::vector<float> expected = samples;
    samples[7] = samples[9] = bad;
    expected[7] = expected[9] = 0.0F;
    const float* usable = monitor.process(samples.data(), step / 2, 2, 500);
    EXPECT_EQ(std::vector<float>(usable, usable + step), expected) << bad;
    ASSERT_EQ(monitor.findings().size(), 1U) << bad;
    EXPECT_EQ(monitor.findings()[0].condition, SignalCondition::non_finite) << bad;
    EXPECT_EQ(monitor.findings()[0].position, 503) << bad;
    EXPECT_EQ(monitor.non_finite_samples(), 2) << bad;
  }
}

TEST(SignalMonitor, SaysNonFiniteAgainAfterASecondWithoutAny) {
  SignalMonitor monitor(rate);
  std::vector<float> samples = tone(4 * rate);
  for (const std::size_t bad : {500U, 1100U, 2050U, 3100U}) samples[bad] = std::nanf("");
  // 2050 is 950 samples behind 1100, so of the same episode.
  const Found expected = {{SignalCondition::non_finite, 500}, {SignalCondition::non_finite, 3100}};
  EXPECT_EQ(run(monitor, samples), expected);
}

TEST(SignalMonitor, TakesThreeSamplesOfAStepForClipping) {
  for (const std::size_t count : {2U, 3U}) {
    SignalMonitor monitor(rate);
    std::vector<float> samples = tone(rate);
    for (std::size_t i = 0; i < count; ++i) samples[205 + 7 * i] = i % 2 == 0 ? 0.9995F : -1.0F;
    EXPECT_EQ(run(monitor, samples), count == 3 ? (Found{{SignalCondition::clipping, 205}}) : Found{});
  }
}

TEST(SignalMonitor, CountsAFrameOnceHoweverManyOfItsChannelsAreClipped) {
  SignalMonitor monitor(rate);
  std::vector<float> samples = tone(2 * step);
  samples[10] = samples[11] = samples[20] = 1.0F;
  EXPECT_EQ(run(monitor, samples, 2), Found{});
  samples[30] = 1.0F;
  EXPECT_EQ(run(monitor, samples, 2, step), (Found{{SignalCondition::clipping, step + 5}}));
}

TEST(SignalMonitor, FindsSilenceWhereItBegan) {
  SignalMonitor monitor(rate);
  std::vector<float> samples = tone(rate);
  samples[rate - 1] = 0.0F;
  samples[rate - 2] = 1e-40F;  // not zero
  samples.resize(4 * rate, -0.0F);
  samples.insert(samples.end(), {0.1F, 0.2F});
  samples.resize(7 * rate, 0.0F);
  const Found expected = {{SignalCondition::digital_silence, rate - 1},
                          {SignalCondition::digital_silence, 4 * rate + 2}};
  EXPECT_EQ(run(monitor, samples), expected);
}

TEST(SignalMonitor, DoesNotJoinZerosOverAGap) {
  SignalMonitor monitor(rate);
  const std::vector<float> zeros(static_cast<std::size_t>(3 * rate / 2), 0.0F);
  EXPECT_EQ(run(monitor, zeros), Found{});
  monitor.gap();
  EXPECT_EQ(run(monitor, zeros, 1, 2 * rate), Found{});
  EXPECT_EQ(run(monitor, zeros, 1, 7 * rate / 2), (Found{{SignalCondition::digital_silence, 2 * rate}}));
}

TEST(SignalMonitor, FindsAMeanOnceUntilItWasGoneForFiveSeconds) {
  SignalMonitor monitor(rate);
  std::vector<float> samples = tone(20 * rate);
  const auto shift = [&samples](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin * rate; i < end * rate; ++i) samples[static_cast<std::size_t>(i)] += 0.1F;
  };
  shift(1, 3);
  shift(6, 8);  // less than 5 s below 0.02
  shift(17, 20);
  const Found found = run(monitor, samples);
  ASSERT_EQ(found.size(), 2U);
  for (const auto& [condition, position] : found) EXPECT_EQ(condition, SignalCondition::dc);
  // 0.1 (1 - exp(-t)) reaches 0.05 after ln 2 seconds, and is known at the end of a step.
  EXPECT_NEAR(static_cast<double>(found[0].second), 1000 + 693, step);
  EXPECT_NEAR(static_cast<double>(found[1].second), 17000 + 693, step);
}

TEST(SignalMonitor, SumsOddCounts) {
  for (std::int64_t count = 1; count < 40; ++count) {
    SignalMonitor monitor(1);  // a step of a second or more: the mean of it weighs 1 - 1 / e or more
    const std::vector<float> samples(static_cast<std::size_t>(count), -0.09F);
    monitor.process(samples.data(), count, 1, 0);
    ASSERT_EQ(monitor.findings().size(), 1U) << count;
    EXPECT_EQ(monitor.findings()[0].condition, SignalCondition::dc) << count;
  }
}

TEST(SignalMonitor, DoesNotAllocateForSound) {
  SignalMonitor monitor(rate);
  const std::vector<float> samples = tone(step);
  const std::int64_t before = allocation_count();
  for (int i = 0; i < 1000; ++i) monitor.process(samples.data(), step, 1, i * step);
  EXPECT_EQ(allocation_count(), before);
}

TEST(SignalMonitor, RefusesWhatItCannotUse) {
  EXPECT_THROW(SignalMonitor(0), ConfigError);
  SignalMonitor monitor(rate);
  const float sample = 0.0F;
  EXPECT_THROW(monitor.process(&sample, 0, 1, 0), ConfigError);
}

}  // namespace
}  // namespace streamsed
