// The same tests for the lanes of the CPU and, with the libraries of GPU lanes, of a GPU or its emulation.

#include "post/fusion_lanes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

#include "base/errors.hpp"
#include "post/fusion.hpp"

#ifdef STREAMSED_GPU_LANES
#include "cuda/device.hpp"
#include "cuda/memory.hpp"
#include "post/fusion_lanes_cuda.hpp"
#endif
#ifdef STREAMSED_EMULATED
#include "cuda/emulation.hpp"
#endif

namespace streamsed {
namespace {

#ifdef STREAMSED_GPU_LANES
constexpr auto make_lanes = &make_cuda_fusion_lanes;
#else
constexpr auto make_lanes = &make_cpu_fusion_lanes;
#endif

class FusionLanesTest : public testing::Test {
#ifdef STREAMSED_GPU_LANES
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "needs a GPU: " << cuda::describe();
  }
#endif
};

// Posteriors (members, lanes, rows, classes), confidences (members, lanes, rows) with some vanishing rows, and weights.
struct Case {
  std::size_t members, lanes;
  std::int64_t rows, classes;
  std::vector<float> posteriors, confidences, weights;
  std::vector<std::int64_t> lengths;

  Case(std::size_t m, std::size_t l, std::int64_t t, std::int64_t k, bool own_weights, unsigned seed)
      : members(m), lanes(l), rows(t), classes(k) {
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(0.0F, 1.0F);
    posteriors.resize(m * l * static_cast<std::size_t>(t * k));
    confidences.resize(m * l * static_cast<std::size_t>(t));
    weights.resize(m * (own_weights ? l : 1));
    for (float& value : posteriors) value = uniform(random);
    for (float& value : confidences) value = uniform(random);
    for (float& value : weights) value = 0.1F + uniform(random);
    const std::size_t frames = l * static_cast<std::size_t>(t);
    for (std::size_t row = 0; row < frames; row += 3) {
      for (std::size_t i = 0; i < m; ++i) confidences[i * frames + row] = row % 2 == 0 ? 0.0F : -0.0F;
    }
    std::uniform_int_distribution<std::int64_t> length(0, t);
    for (std::size_t i = 0; i < l; ++i) lengths.push_back(i == 0 ? t : length(random));
  }

  bool own_weights() const { return weights.size() > members; }
  std::int64_t per_member() const { return static_cast<std::int64_t>(lanes) * rows * classes; }
  LaneEnsemble ensemble(bool with_confidences) const {
    LaneEnsemble e;
    for (std::size_t m = 0; m < members; ++m) {
      e.posteriors.push_back(posteriors.data() + static_cast<std::int64_t>(m) * per_member());
      if (with_confidences) {
        e.confidences.push_back(confidences.data() + static_cast<std::int64_t>(m) * per_member() / classes);
      }
    }
    e.weights = weights.data();
    e.own_weights = own_weights();
    e.rows = rows;
    e.classes = classes;
    return e;
  }
};

// Lane by lane with the function for one stream.
std::vector<float> one_by_one(const Case& c, bool with_confidences) {
  std::vector<float> out(static_cast<std::size_t>(c.per_member()), -1.0F);
  for (std::size_t lane = 0; lane < c.lanes; ++lane) {
    const auto first = static_cast<std::int64_t>(lane) * c.rows;
    const std::int64_t n = c.lengths[lane];
    std::vector<float> posteriors;
    std::vector<float> confidences;
    for (std::size_t m = 0; m < c.members; ++m) {
      const auto frame = static_cast<std::int64_t>(m * c.lanes) * c.rows + first;
      const float* p = c.posteriors.data() + frame * c.classes;
      const float* w = c.confidences.data() + frame;
      posteriors.insert(posteriors.end(), p, p + n * c.classes);
      confidences.insert(confidences.end(), w, w + n);
    }
    // fuse() takes no -0 for a confidence, which here is 0.
    for (float& value : confidences) value += 0.0F;
    const float* weights = c.weights.data() + (c.own_weights() ? lane * c.members : 0);
    fuse({posteriors.data(), with_confidences ? confidences.data() : nullptr, weights,
          static_cast<std::int64_t>(c.members), n, c.classes},
         out.data() + first * c.classes);
  }
  return out;
}

std::vector<LaneChunk> chunks_of(const Case& c, float* out) {
  std::vector<LaneChunk> chunks;
  for (std::size_t lane = 0; lane < c.lanes; ++lane) {
    chunks.push_back(
        {static_cast<int>(lane), nullptr, c.lengths[lane], out + static_cast<std::int64_t>(lane) * c.rows * c.classes});
  }
  return chunks;
}

std::vector<float> together(FusionLanes& lanes, const Case& c, bool with_confidences) {
  std::vector<float> out(static_cast<std::size_t>(c.per_member()), -1.0F);
  const std::vector<FusionFault> faults =
      lanes.fuse(c.ensemble(with_confidences), chunks_of(c, out.data()), Memory::host, Memory::host);
  EXPECT_TRUE(faults.empty());
  return out;
}

TEST_F(FusionLanesTest, HasTheBitsOfOneStreamAtATime) {
  const auto lanes = make_lanes();
  unsigned seed = 1;
  for (const std::size_t members : {1, 2, 3, 4, 5, 7}) {
    for (const std::int64_t classes : {1, 3, 4, 10, 25}) {
      for (const bool own_weights : {false, true}) {
        const Case c(members, members == 3 ? 200 : 9, classes == 10 ? 130 / static_cast<int>(members) : 6, classes,
                     own_weights, seed++);
        EXPECT_EQ(together(*lanes, c, true), one_by_one(c, true)) << members << " members, " << classes << " classes";
        EXPECT_EQ(together(*lanes, c, false), one_by_one(c, false)) << members << " members, " << classes << " classes";
      }
    }
  }
}

TEST_F(FusionLanesTest, MembersMayLieApart) {
  const auto lanes = make_lanes();
  const Case c(3, 5, 8, 6, true, 4);
  std::vector<float> spread(static_cast<std::size_t>(3 * (c.per_member() + 5)));
  LaneEnsemble ensemble = c.ensemble(true);
  for (std::size_t m = 0; m < 3; ++m) {
    float* at = spread.data() + static_cast<std::int64_t>(m) * (c.per_member() + 5);
    std::copy_n(ensemble.posteriors[m], c.per_member(), at);
    ensemble.posteriors[m] = at;
  }
  std::vector<float> out(static_cast<std::size_t>(c.per_member()), -1.0F);
  EXPECT_TRUE(lanes->fuse(ensemble, chunks_of(c, out.data()), Memory::host, Memory::host).empty());
  EXPECT_EQ(out, one_by_one(c, true));
}

TEST_F(FusionLanesTest, WhatCannotBeUsedStaysInItsLane) {
  const auto lanes = make_lanes();
  for (const std::int64_t classes : {2, 8}) {
    Case c(3, 6, 10, classes, false, 9);
    c.lengths = {10, 10, 10, 4, 10, 10};
    const std::vector<float> expected = one_by_one(c, true);
    const auto frames = static_cast<std::size_t>(6 * 10);
    // In lane 1 a confidence, in lane 3 a posterior behind what counts, in lane 4 a posterior, in lane 5 both.
    c.confidences[2 * frames + 10 + 7] = -0.5F;
    c.confidences[frames + 10 + 8] = std::numeric_limits<float>::infinity();
    c.posteriors[static_cast<std::size_t>((30 + 5) * classes)] = std::nanf("");
    c.posteriors[static_cast<std::size_t>((40 + 4) * classes + 1)] = std::nanf("");
    c.posteriors[static_cast<std::size_t>((50 + 1) * classes)] = std::numeric_limits<float>::infinity();
    c.confidences[50 + 1] = std::nanf("");
    std::vector<float> out(static_cast<std::size_t>(c.per_member()), -1.0F);
    const std::vector<FusionFault> faults =
        lanes->fuse(c.ensemble(true), chunks_of(c, out.data()), Memory::host, Memory::host);
    ASSERT_EQ(faults.size(), 3U);
    EXPECT_EQ(faults[0].lane, 1U);
    EXPECT_TRUE(faults[0].confidence);
    EXPECT_EQ(faults[0].at, 1 * 10 + 8);
    EXPECT_EQ(faults[1].lane, 4U);
    EXPECT_FALSE(faults[1].confidence);
    EXPECT_EQ(faults[1].at, 4 * classes + 1);
    EXPECT_EQ(faults[2].lane, 5U);
    EXPECT_TRUE(faults[2].confidence);
    EXPECT_EQ(faults[2].at, 1);
    for (const std::int64_t lane : {0, 2, 3}) {
      for (std::int64_t i = lane * 10 * classes; i < (lane + 1) * 10 * classes; ++i) {
        EXPECT_EQ(out[static_cast<std::size_t>(i)], expected[static_cast<std::size_t>(i)]) << "lane " << lane;
      }
    }
  }
}

TEST_F(FusionLanesTest, RejectsWeightsAndLengths) {
  const auto lanes = make_lanes();
  Case c(2, 3, 4, 5, true, 2);
  std::vector<float> out(static_cast<std::size_t>(c.per_member()));
  const auto fuse_case = [&] { lanes->fuse(c.ensemble(true), chunks_of(c, out.data()), Memory::host, Memory::host); };
  c.weights[4] = c.weights[5] = 0.0F;
  EXPECT_THROW(fuse_case(), ConfigError);
  c.weights[4] = -1.0F;
  EXPECT_THROW(fuse_case(), ConfigError);
  c.weights[4] = std::nanf("");
  EXPECT_THROW(fuse_case(), ConfigError);
  c.weights[4] = 1.0F;
  c.lengths[2] = 5;
  EXPECT_THROW(fuse_case(), ConfigError);
  c.lengths[2] = 4;
  fuse_case();
  EXPECT_TRUE(lanes->fuse(c.ensemble(true), {}, Memory::host, Memory::host).empty());
}

#ifdef STREAMSED_GPU_LANES
TEST_F(FusionLanesTest, DeviceAndPinnedMemory) {
  const auto lanes = make_lanes();
  const cuda::Stream stream;
  Case c(5, 4, 12, 10, false, 3);
  std::fill(c.lengths.begin(), c.lengths.end(), 12);
  const std::vector<float> expected = one_by_one(c, true);
  const cuda::DeviceBuffer<float> device_in(c.posteriors.size() + c.confidences.size());
  const cuda::PinnedBuffer<float> pinned_in(device_in.size());
  std::copy(c.confidences.begin(), c.confidences.end(),
            std::copy(c.posteriors.begin(), c.posteriors.end(), pinned_in.data()));
  cuda::copy(device_in.data(), pinned_in.data(), device_in.size(), stream);
  stream.synchronize();
  const cuda::DeviceBuffer<float> device_out(expected.size());
  for (const auto& [input, base] : {std::pair{Memory::pinned, pinned_in.data()}, {Memory::device, device_in.data()}}) {
    LaneEnsemble ensemble = c.ensemble(true);
    for (std::size_t m = 0; m < c.members; ++m) {
      ensemble.posteriors[m] = base + static_cast<std::int64_t>(m) * c.per_member();
      ensemble.confidences[m] = base + c.posteriors.size() + m * c.lanes * static_cast<std::size_t>(c.rows);
    }
    std::vector<float> out(expected.size());
    EXPECT_TRUE(lanes->fuse(ensemble, chunks_of(c, device_out.data()), input, Memory::device).empty());
    cuda::copy(out.data(), device_out.data(), out.size(), stream);
    stream.synchronize();
    EXPECT_EQ(out, expected);
  }
}
#endif

}  // namespace
}  // namespace streamsed
