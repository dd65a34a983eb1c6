#include "frontend/log_mel_lanes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <string>

#include "base/errors.hpp"
#include "frontend/log_mel_lanes_test_calls.hpp"
#include "frontend/log_mel_tables.hpp"
#include "testing/allocation_counter.hpp"

namespace streamsed {
namespace {

TEST(CpuLogMelLanes, HasTheBitsOfAStreamForEachLane) {
  std::mt19937 generator(3);
  for (const Normalisation normalisation : {Normalisation::none, Normalisation::running}) {
    for (const int hop : {1, 100, 160, 700}) {
      LogMelConfig config = config_of(512, 400, hop, 40);
      config.normalisation = normalisation;
      const auto shared = std::make_shared<const LogMel>(config);
      constexpr int kLanes = 9;
      const auto lanes = make_cpu_log_mel_lanes(shared, kLanes);
      std::vector<std::unique_ptr<OnlineLogMel>> streams;
      for (int lane = 0; lane < kLanes; ++lane) streams.push_back(std::make_unique<OnlineLogMel>(shared));
      std::size_t frames = 0;
      for (int call = 0; call < 12; ++call) {
        std::vector<int> numbers;
        std::vector<std::vector<float>> samples;
        for (int lane = 0; lane < kLanes; ++lane) {
          if (generator() % 3 == 0) continue;
          numbers.push_back(lane);
          samples.push_back(noise(generator() % 1500, static_cast<unsigned>(generator())));
        }
        std::shuffle(numbers.begin(), numbers.end(), generator);
        const auto out = process(*lanes, numbers, samples);
        for (std::size_t i = 0; i < numbers.size(); ++i) {
          OnlineLogMel& stream = *streams[static_cast<std::size_t>(numbers[i])];
          EXPECT_EQ(out[i], process(stream, samples[i])) << hop << " " << call << " lane " << numbers[i];
          EXPECT_EQ(lanes->position_samples(numbers[i]), stream.position_samples());
          EXPECT_EQ(lanes->position_frames(numbers[i]), stream.position_frames());
          frames += out[i].size() / 40;
        }
        const int touched = static_cast<int>(generator() % kLanes);
        OnlineLogMel& stream = *streams[static_cast<std::size_t>(touched)];
        if (call % 3 == 0) {
          const std::int64_t missing = (std::int64_t{1} << 32) + static_cast<std::int64_t>(generator() % 1000);
          EXPECT_EQ(lanes->skip(touched, missing), stream.skip(missing));
        } else if (call % 3 == 1) {
          lanes->flush(touched);
          lanes->reset(touched);
          stream.reset();
        }
      }
      EXPECT_GT(frames, 20u);
    }
  }
}

TEST(CpuLogMelLanes, ReportsASampleThatIsNotFiniteForItsLaneAlone) {
  const auto shared = std::make_shared<const LogMel>(LogMelConfig{});
  const auto lanes = make_cpu_log_mel_lanes(shared, 3);
  OnlineLogMel reference(shared);
  const std::vector<float> first = noise(700, 1);
  const std::vector<float> second = noise(900, 2);
  process(*lanes, {0, 1, 2}, {first, first, first});
  process(reference, first);
  std::vector<float> broken = second;
  broken[611] = std::numeric_limits<float>::quiet_NaN();
  broken[800] = std::numeric_limits<float>::infinity();
  std::vector<std::int64_t> bad;
  const auto out = process(*lanes, {0, 1, 2}, {second, broken, second}, &bad);
  const std::vector<float> expected = process(reference, second);
  EXPECT_EQ(bad, (std::vector<std::int64_t>{-1, 611, -1}));
  EXPECT_EQ(out[0], expected);
  EXPECT_EQ(out[2], expected);
  // The lane is as if the chunk had never come.
  EXPECT_EQ(lanes->position_samples(1), 700);
  EXPECT_EQ(process(*lanes, {1}, {second})[0], expected);
}

TEST(CpuLogMelLanes, AllocatesNothingAfterConstruction) {
  const auto lanes = make_cpu_log_mel_lanes(std::make_shared<const LogMel>(LogMelConfig{}), 2);
  const std::vector<float> samples = noise(1000, 1);
  std::vector<float> out(2 * 20 * 64);
  const std::int64_t before = allocation_count();
  for (int call = 0; call < 10; ++call) {
    LaneChunk chunks[] = {{1, samples.data(), 900, out.data()}, {0, samples.data(), 333, out.data() + 20 * 64}};
    lanes->process(chunks, Memory::host, Memory::host);
  }
  EXPECT_EQ(allocation_count(), before);
}

// What a call was refused with; "accepted" if it was not.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const ConfigError& error) {
    return error.what();
  } catch (const StateError& error) {
    return std::string("state: ") + error.what();
  }
  return "accepted";
}

TEST(CpuLogMelLanes, RefusesACallBeforeItChangesAnything) {
  const auto shared = std::make_shared<const LogMel>(LogMelConfig{});
  const auto lanes = make_cpu_log_mel_lanes(shared, 3);
  const std::vector<float> samples = noise(600, 1);
  std::vector<float> out(4 * 64);
  const auto call = [&](int a, int b, std::int64_t count, Memory input) {
    LaneChunk chunks[] = {{a, samples.data(), 600, out.data()}, {b, samples.data(), count, out.data() + 128}};
    lanes->process(chunks, input, Memory::host);
  };
  EXPECT_EQ(refusal([&] { call(0, 3, 600, Memory::host); }), "lanes: expected numbers in [0, 3), got 3");
  EXPECT_EQ(refusal([&] { call(-1, 0, 600, Memory::host); }), "lanes: expected numbers in [0, 3), got -1");
  EXPECT_EQ(refusal([&] { call(1, 1, 600, Memory::host); }), "lanes: expected each lane once, got lane 1 twice");
  EXPECT_EQ(refusal([&] { call(0, 1, -2, Memory::host); }), "count: expected 0 or more, got -2");
  EXPECT_EQ(refusal([&] { call(0, 1, 600, Memory::device); }),
            "input: expected host memory for the lanes of a CPU, got device memory");
  lanes->flush(2);
  const std::string flushed = "state: LogMelLanes: lane 2: expected reset() after flush(), got another call";
  EXPECT_EQ(refusal([&] { call(0, 2, 600, Memory::host); }), flushed);
  EXPECT_EQ(refusal([&] { lanes->skip(2, 1); }), flushed);
  EXPECT_EQ(refusal([&] { lanes->flush(2); }), flushed);
  EXPECT_EQ(refusal([&] { lanes->skip(0, -1); }), "missing: expected samples of 0 or more, got -1");
  EXPECT_EQ(refusal([&] { lanes->reset(7); }), "lanes: expected numbers in [0, 3), got 7");
  for (int lane = 0; lane < 3; ++lane) EXPECT_EQ(lanes->position_samples(lane), 0);
  lanes->reset(2);
  EXPECT_EQ(refusal([&] { call(0, 2, 600, Memory::host); }), "accepted");
  EXPECT_EQ(refusal([&] { make_cpu_log_mel_lanes(shared, 0); }), "lanes: expected a number in [1, 1048576], got 0");
  LogMelConfig centred;
  centred.center = true;
  EXPECT_NE(refusal([&] { make_cpu_log_mel_lanes(std::make_shared<const LogMel>(centred), 1); }).find("center"),
            std::string::npos);
}

TEST(FrameGrid, AdvancesAsAStreamThatKeepsItsSamplesDoes) {
  std::mt19937 generator(4);
  for (const int hop : {1, 7, 64, 200}) {
    const auto shared = std::make_shared<const LogMel>(config_of(64, 50, hop, 4));
    LogMelState state(shared);
    LogMel::Scratch scratch(*shared);
    std::int64_t begins = 0;  // where the samples that make frames begin
    std::int64_t frames = 0;
    const std::vector<float> samples = noise(500, 5);
    std::vector<float> out(4 * 500);
    for (int call = 0; call < 60; ++call) {
      if (generator() % 8 == 0) {
        const std::int64_t missing = 1 + static_cast<std::int64_t>(generator() % 300);
        frames = state.grid().next_frame + state.skip(missing);
        begins = frames * hop;
      }
      const auto n = static_cast<std::int64_t>(generator() % 500);
      const std::int64_t before = state.grid().next_frame;
      const std::int64_t count = state.frames_after(n);
      state.process(samples.data(), n, scratch, out.data());
      const FrameGrid& grid = state.grid();
      EXPECT_EQ(grid.next_frame - before, count);
      // The definition: all frames that lie wholly between where the sound began and where it is.
      const std::int64_t length = std::max<std::int64_t>(grid.position - begins, 0);
      EXPECT_EQ(grid.next_frame, frames + shared->config().frame_count(length));
      EXPECT_EQ(grid.next_frame * hop, grid.position - grid.pending + grid.to_skip);
      EXPECT_TRUE(grid.pending == 0 || grid.to_skip == 0);
      EXPECT_LT(grid.pending, 50);
    }
  }
}

TEST(Divisor, IsExactAsFarAsItSays) {
  for (const int by : {1, 2, 3, 5, 7, 25, 100, 147, 200, 441, 1023, 1024, 4093, 14528}) {
    const Divisor divisor(by);
    EXPECT_EQ(divisor.number(), by);
    const std::int64_t end = std::min<std::int64_t>((std::int64_t{1} << 32) / by, 1 << 18);
    for (int n = 0; n < end; ++n) ASSERT_EQ(divisor.quotient(n), n / by) << n << " / " << by;
    const auto last = static_cast<int>(std::min<std::int64_t>((std::int64_t{1} << 32) / by - 1, 0x7FFFFFFE));
    EXPECT_EQ(divisor.quotient(last), last / by) << by;
    EXPECT_EQ(divisor.quotient(last / by * by), last / by) << by;
    EXPECT_EQ(divisor.quotient(last / by * by - 1), last / by - 1) << by;
  }
}

}  // namespace
}  // namespace streamsed
