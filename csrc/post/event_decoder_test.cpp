#include "post/event_decoder.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "base/errors.hpp"
#include "testing/allocation_counter.hpp"

namespace streamsed {
namespace {

DecoderSettings one_class(float on, float off, std::int64_t min_duration, std::int64_t min_gap) {
  return {{on}, {off}, {min_duration}, {min_gap}};
}

std::vector<Decision> feed(EventDecoder& decoder, const std::vector<float>& values) {
  std::vector<Decision> all;
  for (const float& value : values) {
    const std::vector<Decision>& some = decoder.process(&value, 1);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

TEST(EventDecoder, OneIdFromOnsetToEvent) {
  EventDecoder decoder(one_class(0.6F, 0.4F, 0, 1));
  const std::vector<Decision> decisions = feed(decoder, {0.1F, 0.7F, 0.5F, 0.3F, 0.3F});
  ASSERT_EQ(decisions.size(), 2U);
  EXPECT_EQ(decisions[0].kind, DecisionKind::onset);
  EXPECT_EQ(decisions[0].onset, 1);
  EXPECT_EQ(decisions[1].kind, DecisionKind::event);
  EXPECT_EQ(decisions[1].number, decisions[0].number);
  EXPECT_EQ(decisions[1].offset, 3);
  EXPECT_EQ(decisions[1].decided, 4);
  EXPECT_NEAR(decisions[1].confidence, 0.6, 1e-6);
  EXPECT_TRUE(decoder.flush().empty());
}

TEST(EventDecoder, BeginsWhereTheRunAboveTheLowerThresholdBegins) {
  EventDecoder decoder(one_class(0.6F, 0.4F, 0, 1));
  const std::vector<Decision> decisions = feed(decoder, {0.5F, 0.3F, 0.4F, 0.5F, 0.7F, 0.3F, 0.3F});
  ASSERT_EQ(decisions.size(), 2U);
  EXPECT_EQ(decisions[0].onset, 2);
  EXPECT_EQ(decisions[0].decided, 4);
  EXPECT_EQ(decisions[1].onset, 2);
  EXPECT_EQ(decisions[1].offset, 5);
  EXPECT_NEAR(decisions[1].confidence, (0.4 + 0.5 + 0.7) / 3, 1e-6);
}

TEST(EventDecoder, NoTwoEventsAreCloserThanTheGap) {
  EventDecoder decoder(one_class(0.6F, 0.4F, 0, 2));
  const std::vector<Decision> decisions = feed(decoder, {0.7F, 0.3F, 0.5F, 0.5F, 0.5F, 0.7F, 0.7F});
  ASSERT_EQ(decisions.size(), 3U);
  EXPECT_EQ(decisions[1].offset, 1);
  EXPECT_EQ(decisions[1].decided, 3);
  EXPECT_EQ(decisions[2].onset, 4);
}

TEST(EventDecoder, ARunDoesNotReachAcrossAGap) {
  EventDecoder decoder(one_class(0.6F, 0.4F, 0, 5));
  feed(decoder, {0.5F, 0.5F});
  decoder.gap(1);
  EXPECT_EQ(feed(decoder, {0.5F, 0.7F})[0].onset, 3);
}

TEST(EventDecoder, FlushClosesOnceAndThenOnlyResetIsLegal) {
  EventDecoder decoder(one_class(0.5F, 0.5F, 0, 0));
  feed(decoder, {0.9F, 0.9F});
  const std::vector<Decision> decisions = decoder.flush();
  ASSERT_EQ(decisions.size(), 1U);
  EXPECT_EQ(decisions[0].offset, 2);
  EXPECT_FALSE(decisions[0].truncated);
  EXPECT_THROW(decoder.flush(), StateError);
  EXPECT_THROW(decoder.gap(1), StateError);
  EXPECT_THROW(feed(decoder, {0.1F}), StateError);
  decoder.reset();
  EXPECT_EQ(feed(decoder, {0.9F})[0].number, 1);
}

TEST(EventDecoder, GapWithinThePauseCountsAsPause) {
  EventDecoder decoder(one_class(0.5F, 0.5F, 0, 3));
  feed(decoder, {0.9F, 0.1F});
  EXPECT_TRUE(decoder.gap(2).empty());
  EXPECT_TRUE(feed(decoder, {0.9F}).empty());
  const std::vector<Decision> decisions = decoder.flush();
  ASSERT_EQ(decisions.size(), 1U);
  EXPECT_TRUE(decisions[0].spans_gap);
  EXPECT_EQ(decisions[0].offset, 5);
}

TEST(EventDecoder, GapAfterAHeardEndTruncatesNothing) {
  EventDecoder decoder(one_class(0.5F, 0.5F, 0, 3));
  feed(decoder, {0.9F, 0.1F});
  const std::vector<Decision> decisions = decoder.gap(3);
  ASSERT_EQ(decisions.size(), 1U);
  EXPECT_FALSE(decisions[0].truncated);
  EXPECT_EQ(decisions[0].offset, 1);
}

TEST(EventDecoder, PositionsPast2To32) {
  EventDecoder decoder(one_class(0.5F, 0.5F, 0, 0));
  const std::int64_t start = (std::int64_t{1} << 32) - 1;
  decoder.gap(start);
  const std::vector<Decision> decisions = feed(decoder, {0.9F, 0.9F, 0.1F});
  ASSERT_EQ(decisions.size(), 2U);
  EXPECT_EQ(decisions[1].onset, start);
  EXPECT_EQ(decisions[1].offset, start + 2);
}

TEST(EventDecoder, AllocatesNothingAfterConstruction) {
  EventDecoder decoder({{0.5F, 0.5F}, {0.5F, 0.5F}, {0, 2}, {0, 1}});
  const std::vector<float> rows{0.9F, 0.1F, 0.1F, 0.9F, 0.9F, 0.9F, 0.1F, 0.1F};
  const std::int64_t before = allocation_count();
  for (int i = 0; i < 200; ++i) {
    decoder.process(rows.data(), 4);
    if (i % 7 == 0) decoder.gap(i % 3);
  }
  decoder.flush();
  decoder.reset();
  EXPECT_EQ(allocation_count(), before);
}

TEST(EventDecoder, SegmentsAreAnnouncedAndFinalAStepLater) {
  DecoderSettings settings = one_class(0.5F, 0.5F, 0, 0);
  settings.changes = {{0, 2, 0.2, 1.5}};
  EventDecoder decoder(settings);
  const std::vector<Decision> decisions = feed(decoder, {0.0F, 0.0F, 0.9F, 0.9F, 0.4F, 0.9F, 0.0F, 0.0F, 0.0F, 0.0F});
  ASSERT_EQ(decisions.size(), 2U);
  EXPECT_EQ(decisions[0].kind, DecisionKind::onset);
  EXPECT_EQ(decisions[0].decided, 2);
  EXPECT_EQ(decisions[1].onset, 2);
  EXPECT_EQ(decisions[1].offset, 6);
  EXPECT_LE(decisions[1].decided, 6 + 2 * 2 - 1);
  EXPECT_NEAR(decisions[1].confidence, 3.1 / 4, 1e-6);
}

TEST(EventDecoder, SegmentsAllocateNothingAfterConstruction) {
  DecoderSettings settings{{0.5F, 0.5F}, {0.5F, 0.5F}, {0, 2}, {0, 1}};
  settings.changes = {{1, 2, 0.2, 1.5}};
  EventDecoder decoder(settings);
  const std::vector<float> rows{0.9F, 0.1F, 0.1F, 0.9F, 0.9F, 0.9F, 0.1F, 0.1F};
  const std::int64_t before = allocation_count();
  for (int i = 0; i < 200; ++i) {
    decoder.process(rows.data(), 4);
    if (i % 7 == 0) decoder.gap(i % 3);
  }
  decoder.flush();
  decoder.reset();
  EXPECT_EQ(allocation_count(), before);
}

TEST(EventDecoder, RejectsBadSettings) {
  DecoderSettings settings = one_class(0.5F, 0.5F, 0, 0);
  settings.changes = {{1, 2, 0.2, 1.5}};
  EXPECT_THROW(EventDecoder{settings}, ConfigError);
  EXPECT_THROW(EventDecoder(DecoderSettings{}), ConfigError);
  EXPECT_THROW(EventDecoder(one_class(0.0F, 0.0F, 0, 0)), ConfigError);
  EXPECT_THROW(EventDecoder(one_class(0.5F, 0.6F, 0, 0)), ConfigError);
  EXPECT_THROW(EventDecoder(one_class(0.5F, 0.5F, -1, 0)), ConfigError);
  EXPECT_THROW(EventDecoder(one_class(0.5F, 0.5F, 0, -1)), ConfigError);
  EXPECT_THROW(EventDecoder(DecoderSettings{{0.5F}, {0.5F}, {0}, {}}), ConfigError);
}

}  // namespace
}  // namespace streamsed
