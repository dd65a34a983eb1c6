#include "post/change_detector.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

#include "base/errors.hpp"
#include "testing/allocation_counter.hpp"

namespace streamsed {
namespace {

using Segments = std::vector<ChangeDetector::Segment>;

void feed(ChangeDetector& detector, const std::vector<float>& values, std::int64_t first, Segments& all) {
  ChangeDetector::Segment segment;
  for (std::size_t t = 0; t < values.size(); ++t) {
    detector.push(&values[t], first + static_cast<std::int64_t>(t));
    while (detector.next(0, segment)) all.push_back(segment);
  }
}

Segments to_end(ChangeDetector& detector, std::int64_t next_frame) {
  Segments all;
  ChangeDetector::Segment segment;
  while (detector.next_of_end(0, next_frame, segment)) all.push_back(segment);
  return all;
}

Segments segments_of(ChangeDetector& detector, const std::vector<float>& values) {
  Segments all;
  feed(detector, values, 0, all);
  for (const ChangeDetector::Segment& segment : to_end(detector, static_cast<std::int64_t>(values.size()))) {
    all.push_back(segment);
  }
  return all;
}

TEST(ChangeDetector, CutsWhereTheLevelChanges) {
  ChangeDetector detector({{0, 2, 0.2, 1.5}});
  const Segments all = segments_of(detector, {0.1F, 0.1F, 0.1F, 0.8F, 0.9F, 0.7F, 0.8F, 0.1F, 0.1F, 0.1F});
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1].onset, 3);
  EXPECT_EQ(all[1].offset, 7);
  EXPECT_NEAR(all[1].posterior, 0.8, 1e-7);
  EXPECT_EQ(all[2].offset, 10);
}

TEST(ChangeDetector, IsDecidedAStepBehindTheCut) {
  ChangeDetector detector({{0, 2, 0.2, 1.5}});
  ChangeDetector::Segment segment;
  std::int64_t decided = -1;
  const std::vector<float> values{0.9F, 0.9F, 0.9F, 0.9F, 0.0F, 0.0F, 0.0F, 0.0F, 0.0F};
  for (std::int64_t t = 0; t < 9; ++t) {
    detector.push(&values[static_cast<std::size_t>(t)], t);
    if (detector.next(0, segment) && decided < 0) decided = t;
  }
  EXPECT_EQ(segment.onset, 0);
  EXPECT_EQ(segment.offset, 4);
  EXPECT_LE(decided, 4 + 2 * 2 - 1);
}

TEST(ChangeDetector, AConstantIsOneSegmentWithItsExactMean) {
  for (const float level : {0.0F, 0.7F, 1.0F}) {
    ChangeDetector detector({{0, 3, 0.2, 1.5}});
    const Segments all = segments_of(detector, std::vector<float>(1000, level));
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].offset, 1000);
    EXPECT_EQ(all[0].posterior, static_cast<double>(level));
  }
}

TEST(ChangeDetector, GoesOnOverALoss) {
  ChangeDetector detector({{0, 2, 0.2, 1.5}});
  Segments all;
  feed(detector, {0.9F, 0.9F, 0.9F}, 0, all);
  feed(detector, {0.9F, 0.9F}, 5, all);
  EXPECT_EQ(detector.heard_until(), 7);
  const Segments last = to_end(detector, 9);
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(last[0].offset, 7);
  EXPECT_TRUE(last[0].spans_gap);
  EXPECT_TRUE(last[0].truncated);
  detector.begin_anew(0);
  feed(detector, {0.4F}, 9, all);
  EXPECT_EQ(to_end(detector, 10)[0].onset, 9);
}

TEST(ChangeDetector, ClampsWhatIsNoProbability) {
  ChangeDetector detector({{0, 1, 0.2, 1.5}});
  const float infinity = std::numeric_limits<float>::infinity();
  const Segments all = segments_of(detector, {-infinity, infinity, 3.0F, -1.0F});
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[1].posterior, 1.0);
}

TEST(ChangeDetector, AllocatesNothingAfterConstruction) {
  ChangeDetector detector({{0, 4, 0.05, 1.2}, {1, 9, 0.05, 1.2}});
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(0.0F, 1.0F);
  const std::int64_t before = allocation_count();
  ChangeDetector::Segment segment;
  for (std::int64_t t = 0; t < 2000; ++t) {
    const float row[2] = {uniform(random), uniform(random)};
    detector.push(row, t);
    for (const std::size_t i : {0, 1}) {
      while (detector.next(i, segment)) {
      }
    }
  }
  while (detector.next_of_end(1, 2000, segment)) {
  }
  detector.reset();
  EXPECT_EQ(allocation_count(), before);
}

TEST(ChangeDetector, RejectsBadSettings) {
  EXPECT_THROW(ChangeDetector({{0, 0, 0.2, 1.5}}), ConfigError);
  EXPECT_THROW(ChangeDetector({{0, 1, 0.0, 1.5}}), ConfigError);
  EXPECT_THROW(ChangeDetector({{0, 1, 0.2, 0.5}}), ConfigError);
  EXPECT_THROW(ChangeDetector({{0, 1, 0.2, std::numeric_limits<double>::quiet_NaN()}}), ConfigError);
}

}  // namespace
}  // namespace streamsed
