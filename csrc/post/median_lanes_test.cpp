// The same tests for the lanes of the CPU and, with the libraries of GPU lanes, of a GPU or its emulation.

#include "post/median_lanes.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <vector>

#include "base/errors.hpp"
#include "post/median_filter.hpp"

#ifdef STREAMSED_GPU_LANES
#include "cuda/device.hpp"
#include "cuda/memory.hpp"
#include "post/median_lanes_cuda.hpp"
#endif
#ifdef STREAMSED_EMULATED
#include "cuda/emulation.hpp"
#endif

namespace streamsed {
namespace {

#ifdef STREAMSED_GPU_LANES
constexpr auto make_lanes = &make_cuda_median_lanes;
#else
constexpr auto make_lanes = &make_cpu_median_lanes;
#endif

using Rows = std::vector<float>;

class MedianLanesTest : public testing::Test {
 protected:
#ifdef STREAMSED_GPU_LANES
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "needs a GPU: " << cuda::describe();
  }
#endif
#ifdef STREAMSED_EMULATED
  void TearDown() override { emulation::set_schedule({}); }
#endif

  // Multiples of 1/20, so that there are equal ones, both zeros among them, and a few infinities.
  Rows random_rows(std::int64_t rows, int classes) {
    std::uniform_int_distribution<int> uniform(0, 20);
    Rows values(static_cast<std::size_t>(rows * classes));
    for (float& value : values) {
      const int number = uniform(random_);
      value = static_cast<float>(number) / 20.0F;
      if (number == 0 && uniform(random_) < 10) value = -0.0F;
      if (number == 20 && uniform(random_) < 2) value = std::numeric_limits<float>::infinity();
      if (number == 19 && uniform(random_) < 2) value = -std::numeric_limits<float>::infinity();
    }
    return values;
  }

  std::mt19937 random_{5};
};

bool same_bits(const Rows& a, const Rows& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] || std::signbit(a[i]) != std::signbit(b[i])) return false;
  }
  return true;
}

// What one call gives for each chunk; those with a bad value give nothing and are named.
std::map<int, Rows> process(MedianLanes& lanes, const std::map<int, Rows>& inputs,
                            std::map<int, std::int64_t>* bad = nullptr) {
  std::map<int, Rows> outputs;
  std::vector<LaneChunk> chunks;
  for (const auto& [lane, rows] : inputs) {
    const auto count = static_cast<std::int64_t>(rows.size()) / lanes.classes();
    outputs[lane].resize(static_cast<std::size_t>(lanes.rows_after(lane, count) * lanes.classes()));
    chunks.push_back({lane, rows.data(), count, outputs[lane].data()});
  }
  lanes.process(chunks, Memory::host, Memory::host);
  for (const LaneChunk& chunk : chunks) {
    if (chunk.bad < 0) continue;
    outputs[chunk.lane].clear();
    if (bad != nullptr) (*bad)[chunk.lane] = chunk.bad;
  }
  return outputs;
}

std::map<int, Rows> flush(MedianLanes& lanes, const std::vector<int>& numbers) {
  std::map<int, Rows> outputs;
  std::vector<LaneChunk> chunks;
  for (const int lane : numbers) {
    outputs[lane].resize(static_cast<std::size_t>(lanes.rows_after_flush(lane) * lanes.classes()));
    chunks.push_back({lane, nullptr, 0, outputs[lane].data()});
  }
  lanes.flush(chunks, Memory::host);
  return outputs;
}

Rows process(OnlineMedianFilter& filter, const Rows& rows) {
  const auto count = static_cast<std::int64_t>(rows.size()) / filter.classes();
  Rows out(static_cast<std::size_t>(filter.rows_after(count) * filter.classes()));
  filter.process(rows.data(), count, out.data());
  return out;
}

Rows flush(OnlineMedianFilter& filter) {
  Rows out(static_cast<std::size_t>(filter.rows_after_flush() * filter.classes()));
  filter.flush(out.data());
  return out;
}

TEST_F(MedianLanesTest, EveryWidthHasTheBitsOfTheFilter) {
  std::vector<int> widths;
  for (int width = 1; width <= 25; width += 2) widths.push_back(width);
  for (const int width : {7, 3, 7}) widths.push_back(width);
  const auto classes = static_cast<int>(widths.size());
  for (const EdgeMode mode : {EdgeMode::reflect, EdgeMode::mirror, EdgeMode::nearest, EdgeMode::constant}) {
    OnlineMedianFilter filter(widths, mode, 0.5F);
    const auto lanes = make_lanes(widths, mode, 0.5F, 2);
    EXPECT_EQ(lanes->latency_frames(), filter.latency_frames());
    for (const std::int64_t count : {1, 14, 0, 7, 60}) {
      const Rows rows = random_rows(count, classes);
      EXPECT_TRUE(same_bits(process(*lanes, {{1, rows}})[1], process(filter, rows))) << count << " rows";
    }
    EXPECT_TRUE(same_bits(flush(*lanes, {1})[1], flush(filter)));
  }
}

TEST_F(MedianLanesTest, WideWindows) {
  const std::vector<int> widths{27, 65, 67, 257, 259};
  OnlineMedianFilter filter(widths, EdgeMode::reflect, 0.0F);
  const auto lanes = make_lanes(widths, EdgeMode::reflect, 0.0F, 1);
  for (const std::int64_t count : {120, 15, 3}) {
    const Rows rows = random_rows(count, 5);
    EXPECT_TRUE(same_bits(process(*lanes, {{0, rows}})[0], process(filter, rows))) << count << " rows";
  }
  // Reads of the history from both sides of where the ring begins anew.
  for (const std::int64_t count : {128, 4}) {
    const Rows rows = random_rows(count, 5);
    EXPECT_TRUE(same_bits(process(*lanes, {{0, rows}})[0], process(filter, rows))) << count << " rows";
  }
}

TEST_F(MedianLanesTest, SequencesShorterThanTheWindow) {
  for (const EdgeMode mode : {EdgeMode::reflect, EdgeMode::mirror, EdgeMode::nearest, EdgeMode::constant}) {
    for (std::int64_t count = 0; count < 12; ++count) {
      OnlineMedianFilter filter({9, 29, 1}, mode, 0.25F);
      const auto lanes = make_lanes({9, 29, 1}, mode, 0.25F, 1);
      const Rows rows = random_rows(count, 3);
      EXPECT_TRUE(same_bits(process(*lanes, {{0, rows}})[0], process(filter, rows)));
      EXPECT_TRUE(same_bits(flush(*lanes, {0})[0], flush(filter))) << count << " rows";
    }
  }
}

// Every lane has its own pace, some get nothing, some are reset or end in between.
void run_ragged(int lane_count, int calls, std::mt19937& random,
                const std::function<Rows(std::int64_t, int)>& random_rows) {
  const std::vector<int> widths{5, 1, 9, 5, 31, 3, 9};
  const auto classes = static_cast<int>(widths.size());
  const auto lanes = make_lanes(widths, EdgeMode::reflect, 0.0F, lane_count);
  std::vector<OnlineMedianFilter> filters;
  for (int lane = 0; lane < lane_count; ++lane) filters.emplace_back(widths, EdgeMode::reflect, 0.0F);
  std::uniform_int_distribution<int> percent(0, 99);
  for (int call = 0; call < calls; ++call) {
    std::map<int, Rows> inputs;
    for (int lane = 0; lane < lane_count; ++lane) {
      if (percent(random) < 40) continue;
      inputs[lane] = random_rows(percent(random) < 20 ? 0 : percent(random) / 5 + 1, classes);
    }
    const std::map<int, Rows> outputs = process(*lanes, inputs);
    for (const auto& [lane, rows] : inputs) {
      ASSERT_TRUE(same_bits(outputs.at(lane), process(filters[static_cast<std::size_t>(lane)], rows)))
          << "lane " << lane << " call " << call;
    }
    std::vector<int> ending;
    for (int lane = 0; lane < lane_count; ++lane) {
      if (percent(random) < 10) ending.push_back(lane);
    }
    const std::map<int, Rows> tails = flush(*lanes, ending);
    for (const int lane : ending) {
      ASSERT_TRUE(same_bits(tails.at(lane), flush(filters[static_cast<std::size_t>(lane)]))) << "lane " << lane;
      filters[static_cast<std::size_t>(lane)].reset();
    }
    lanes->reset(ending);
    const int fresh = percent(random) % lane_count;
    filters[static_cast<std::size_t>(fresh)].reset();
    lanes->reset(std::vector<int>{fresh});
  }
}

TEST_F(MedianLanesTest, RaggedLanes) {
  const auto rows = [this](std::int64_t count, int classes) { return random_rows(count, classes); };
  for (const int lane_count : {1, 2, 33, 200}) run_ragged(lane_count, lane_count > 100 ? 2 : 8, random_, rows);
}

#ifdef STREAMSED_EMULATED
TEST_F(MedianLanesTest, TheOrderOfThreadsDoesNotMatter) {
  const auto rows = [this](std::int64_t count, int classes) { return random_rows(count, classes); };
  for (const emulation::Schedule schedule :
       {emulation::Schedule{emulation::Order::reverse, 0}, emulation::Schedule{emulation::Order::shuffled, 3}}) {
    emulation::set_schedule(schedule);
    run_ragged(9, 6, random_, rows);
  }
}
#endif

TEST_F(MedianLanesTest, ANanStaysInItsLane) {
  const auto lanes = make_lanes({3, 27}, EdgeMode::reflect, 0.0F, 3);
  std::vector<OnlineMedianFilter> filters(3, OnlineMedianFilter({3, 27}, EdgeMode::reflect, 0.0F));
  for (int call = 0; call < 4; ++call) {
    std::map<int, Rows> inputs;
    for (int lane = 0; lane < 3; ++lane) inputs[lane] = random_rows(20 + lane, 2);
    const std::map<int, Rows> clean = inputs;
    const int wrong = call % 3;
    inputs[wrong][31] = std::nanf("");
    inputs[wrong][17] = -std::nanf("");
    std::map<int, std::int64_t> bad;
    const std::map<int, Rows> outputs = process(*lanes, inputs, &bad);
    EXPECT_EQ(bad, (std::map<int, std::int64_t>{{wrong, 17}}));
    for (int lane = 0; lane < 3; ++lane) {
      if (lane == wrong) continue;
      EXPECT_TRUE(same_bits(outputs.at(lane), process(filters[static_cast<std::size_t>(lane)], clean.at(lane))));
    }
    // The lane is as it was: the same rows without the NaN go on from there.
    EXPECT_TRUE(same_bits(process(*lanes, {{wrong, clean.at(wrong)}})[wrong],
                          process(filters[static_cast<std::size_t>(wrong)], clean.at(wrong))));
  }
}

TEST_F(MedianLanesTest, RejectsAndChangesNothing) {
  EXPECT_THROW(make_lanes({4}, EdgeMode::reflect, 0.0F, 1), ConfigError);
  EXPECT_THROW(make_lanes({}, EdgeMode::reflect, 0.0F, 1), ConfigError);
  EXPECT_THROW(make_lanes({3}, EdgeMode::reflect, std::nanf(""), 1), ConfigError);
  EXPECT_THROW(make_lanes({3}, EdgeMode::reflect, 0.0F, 0), ConfigError);
  const auto lanes = make_lanes({3}, EdgeMode::reflect, 0.0F, 2);
  const float in[2] = {0.5F, 0.25F};
  float out[4];
  const auto call = [&](std::vector<LaneChunk> chunks) { lanes->process(chunks, Memory::host, Memory::host); };
  EXPECT_THROW(call({{0, in, 1, out}, {2, in, 1, out}}), ConfigError);
  EXPECT_THROW(call({{0, in, 1, out}, {-1, in, 1, out}}), ConfigError);
  EXPECT_THROW(call({{1, in, 1, out}, {1, in, 1, out}}), ConfigError);
  EXPECT_THROW(call({{0, in, -1, out}}), ConfigError);
  flush(*lanes, {1});
  EXPECT_THROW(call({{0, in, 1, out}, {1, in, 1, out}}), StateError);
  EXPECT_THROW(flush(*lanes, {1}), StateError);
  EXPECT_THROW(lanes->reset(std::vector<int>{1, 5}), ConfigError);
  EXPECT_THROW(flush(*lanes, {1}), StateError) << "the wrong number 5 left lane 1 as it was";
  EXPECT_EQ(lanes->rows_after(0, 1), 0);
  call({});
}

#ifdef STREAMSED_GPU_LANES
TEST_F(MedianLanesTest, DeviceAndPinnedMemory) {
  const cuda::Stream stream;
  const Rows rows = random_rows(3 * 40, 2);
  OnlineMedianFilter filter({5, 9}, EdgeMode::mirror, 0.0F);
  const Rows expected = process(filter, rows);
  cuda::DeviceBuffer<float> device_in(rows.size());
  cuda::DeviceBuffer<float> device_out(expected.size());
  cuda::PinnedBuffer<float> pinned_in(rows.size());
  cuda::PinnedBuffer<float> pinned_out(expected.size());
  std::copy(rows.begin(), rows.end(), pinned_in.data());
  cuda::copy(device_in.data(), rows.data(), rows.size(), stream);
  stream.synchronize();
  const auto lanes = make_lanes({5, 9}, EdgeMode::mirror, 0.0F, 2);
  for (const Memory input : {Memory::host, Memory::pinned, Memory::device}) {
    for (const Memory output : {Memory::host, Memory::pinned, Memory::device}) {
      Rows host_out(expected.size());
      const float* in = input == Memory::host     ? rows.data()
                        : input == Memory::pinned ? pinned_in.data()
                                                  : device_in.data();
      float* out = output == Memory::host     ? host_out.data()
                   : output == Memory::pinned ? pinned_out.data()
                                              : device_out.data();
      std::vector<LaneChunk> chunks{{1, in, 120, out}};
      lanes->process(chunks, input, output);
      if (output == Memory::pinned) std::copy_n(out, host_out.size(), host_out.data());
      if (output == Memory::device) {
        cuda::copy(host_out.data(), out, host_out.size(), stream);
        stream.synchronize();
      }
      EXPECT_TRUE(same_bits(host_out, expected));
      lanes->reset(std::vector<int>{1});
    }
  }
}

TEST_F(MedianLanesTest, TooManyLanesForTheMemory) {
  EXPECT_THROW(make_lanes({1 << 20 | 1}, EdgeMode::reflect, 0.0F, 1 << 20), GpuOutOfMemory);
  const auto lanes = make_lanes({3}, EdgeMode::reflect, 0.0F, 1);
  EXPECT_EQ(process(*lanes, {{0, {0.5F, 0.25F}}})[0].size(), 1U);
}
#endif

}  // namespace
}  // namespace streamsed
