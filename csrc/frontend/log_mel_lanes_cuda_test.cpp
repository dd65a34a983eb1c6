#include "frontend/log_mel_lanes_cuda.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "base/errors.hpp"
#include "cuda/device.hpp"
#include "cuda/memory.hpp"
#include "frontend/log_mel_lanes_test_calls.hpp"
#ifdef STREAMSED_EMULATED
#include "cuda/kernel.hpp"
#endif

namespace streamsed {
namespace {

class GpuLogMelLanes : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "needs a GPU: " << cuda::describe();
  }
};

// In the logarithm, for noise. A GPU rounds in other places than the emulation, which always gives the same.
#ifdef STREAMSED_EMULATED
constexpr double kTolerance = 1e-5;
#else
constexpr double kTolerance = 3e-5;
#endif

// The largest difference, in the unit of the output; of linear values relative to the largest one.
double distance(const LogMelConfig& config, const std::vector<float>& got, const std::vector<float>& expected) {
  if (got.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double most = 0.0;
  double largest = config.log == LogKind::none ? 0.0 : 1.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double difference = std::abs(static_cast<double>(got[i]) - static_cast<double>(expected[i]));
    if (!(difference <= most)) most = difference;
    if (config.log == LogKind::none) largest = std::max(largest, std::abs(static_cast<double>(expected[i])));
  }
  return largest > 0.0 ? most / largest : most;
}

// Ragged chunks for some of the lanes in each call, gaps and resets between the calls, beside streams of the CPU.
// Returns the largest difference.
double compare_with_streams(const LogMelConfig& config, int lane_count, int calls, int longest, unsigned seed) {
  std::mt19937 generator(seed);
  const auto shared = std::make_shared<const LogMel>(config);
  const auto lanes = make_cuda_log_mel_lanes(shared, lane_count);
  EXPECT_EQ(lanes->lanes(), lane_count);
  std::vector<std::unique_ptr<OnlineLogMel>> streams;
  for (int lane = 0; lane < lane_count; ++lane) streams.push_back(std::make_unique<OnlineLogMel>(shared));
  double most = 0.0;
  for (int call = 0; call < calls; ++call) {
    std::vector<int> numbers;
    std::vector<std::vector<float>> samples;
    for (int lane = 0; lane < lane_count; ++lane) {
      if (lane_count > 1 && generator() % 4 == 0) continue;
      numbers.push_back(lane);
      const auto n = generator() % 8 == 0 ? 0 : generator() % static_cast<unsigned>(longest);
      samples.push_back(noise(n, static_cast<unsigned>(generator())));
    }
    std::shuffle(numbers.begin(), numbers.end(), generator);
    const auto out = process(*lanes, numbers, samples);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      OnlineLogMel& stream = *streams[static_cast<std::size_t>(numbers[i])];
      const double difference = distance(config, out[i], process(stream, samples[i]));
      EXPECT_LT(difference, 1e300) << "call " << call << " lane " << numbers[i];
      most = std::max(most, difference);
      EXPECT_EQ(lanes->position_samples(numbers[i]), stream.position_samples());
      EXPECT_EQ(lanes->position_frames(numbers[i]), stream.position_frames());
    }
    const int touched = static_cast<int>(generator() % static_cast<unsigned>(lane_count));
    OnlineLogMel& stream = *streams[static_cast<std::size_t>(touched)];
    if (call % 3 == 1) {
      const std::int64_t missing = (std::int64_t{1} << 32) + static_cast<std::int64_t>(generator() % 1000);
      EXPECT_EQ(lanes->skip(touched, missing), stream.skip(missing));
    } else if (call % 3 == 2) {
      lanes->flush(touched);
      EXPECT_THROW(lanes->skip(touched, 1), StateError);
      lanes->reset(touched);
      stream.reset();
    }
  }
  return most;
}

TEST_F(GpuLogMelLanes, EqualTheStreamsOfACpuAtEveryLength) {
  for (const int n_fft : {4, 6, 10, 16, 64, 90, 128, 256, 400, 480, 512, 882, 1000, 1024, 1764, 2048, 4096, 8192, 38}) {
    for (const Precision precision : {Precision::float32, Precision::float64}) {
      for (const int hop : {n_fft / 4 + 1, n_fft + n_fft / 2}) {
        LogMelConfig config = config_of(n_fft, n_fft - n_fft / 8, hop, n_fft < 90 ? 2 : 20);
        config.precision = precision;
        EXPECT_LT(compare_with_streams(config, 3, 4, 4 * n_fft, 1), precision == Precision::float32 ? kTolerance : 3e-6)
            << n_fft << " " << hop << " " << (precision == Precision::float32 ? "float32" : "float64");
      }
    }
  }
}

TEST_F(GpuLogMelLanes, EqualTheStreamsOfACpuUnderEveryOption) {
  const auto check = [](const char* name, double tolerance, auto change) {
    for (const int n_fft : {400, 512}) {
      LogMelConfig config = config_of(n_fft, n_fft, 160, 40);
      change(config);
      EXPECT_LT(compare_with_streams(config, 5, 6, 3000, 2), tolerance) << name << " " << n_fft;
    }
  };
  check("window", kTolerance, [](LogMelConfig& c) { c.window = WindowShape::hamming; });
  check("periodic", kTolerance, [](LogMelConfig& c) { c.periodic = false; });
  check("mel_scale", kTolerance, [](LogMelConfig& c) { c.mel_scale = MelScale::htk; });
  check("area_norm", kTolerance, [](LogMelConfig& c) { c.area_norm = false; });
  check("spectrum", kTolerance, [](LogMelConfig& c) { c.spectrum = Spectrum::magnitude; });
  check("log: none", kTolerance, [](LogMelConfig& c) { c.log = LogKind::none; });
  // A decibel is 0.23 nepers of power.
  check("log: db", 4.4 * kTolerance, [](LogMelConfig& c) { c.log = LogKind::db; });
  check("log: db of magnitudes", 8.7 * kTolerance, [](LogMelConfig& c) {
    c.log = LogKind::db;
    c.spectrum = Spectrum::magnitude;
  });
  check("floor", kTolerance, [](LogMelConfig& c) { c.floor = 0.5; });
  check("clamp", kTolerance, [](LogMelConfig& c) {
    c.clamp_min = -3.0;
    c.clamp_max = -2.5;
  });
  check("warp", kTolerance, [](LogMelConfig& c) { c.warp_factor = 1.1; });
  // Of one bin each, which may be far below its neighbours.
  check("more bands than bins", 10 * kTolerance, [](LogMelConfig& c) { c.n_mels = 400; });
  check("one mean", kTolerance, [](LogMelConfig& c) {
    c.normalisation = Normalisation::fixed;
    c.mean = {-4.0};
    c.std = {2.0};
  });
  check("a mean for each band", 2 * kTolerance, [](LogMelConfig& c) {
    c.normalisation = Normalisation::fixed;
    for (int m = 0; m < c.n_mels; ++m) {
      c.mean.push_back(-4.0 + 0.1 * m);
      c.std.push_back(0.5 + 0.1 * m);
    }
  });
  // Divided by a standard deviation that begins near 0.
  check("running", 10 * kTolerance, [](LogMelConfig& c) { c.normalisation = Normalisation::running; });
  check("running from a mean", kTolerance, [](LogMelConfig& c) {
    c.normalisation = Normalisation::running;
    c.mean = {-4.0};
    c.std = {2.0};
  });
}

// Root of the mean square.
double spread(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  return std::sqrt(sum / static_cast<double>(a.size()));
}

TEST_F(GpuLogMelLanes, KnowAsMuchOfBandsFarBelowALoudOneAsACpuDoes) {
  for (const int n_fft : {400, 512, 1024, 4096}) {
    LogMelConfig config = config_of(n_fft, n_fft, n_fft / 4, 64);
    const auto single = std::make_shared<const LogMel>(config);
    config.precision = Precision::float64;
    const auto exact = std::make_shared<const LogMel>(config);
    std::vector<float> tone = noise(static_cast<std::size_t>(20 * n_fft), 1);
    for (std::size_t i = 0; i < tone.size(); ++i) {
      tone[i] = 0.01f * tone[i] + 0.7f * static_cast<float>(std::sin(0.17 * static_cast<double>(i)));
    }
    OnlineLogMel of_double(exact);
    OnlineLogMel of_single(single);
    const std::vector<float> truth = process(of_double, tone);
    const double cpu = spread(process(of_single, tone), truth);
    const double gpu = spread(process(*make_cuda_log_mel_lanes(single, 1), {0}, {tone})[0], truth);
    EXPECT_GT(cpu, 1e-6) << n_fft;
    EXPECT_LT(gpu, 2.0 * cpu) << n_fft;
    EXPECT_LT(distance(config, process(*make_cuda_log_mel_lanes(exact, 1), {0}, {tone})[0], truth), 3e-6) << n_fft;
  }
}

TEST_F(GpuLogMelLanes, EqualTheStreamsOfACpuForManyLanes) {
  for (const int lanes : {1, 2, 33, 200}) {
    EXPECT_LT(compare_with_streams(config_of(512, 512, 160, 64), lanes, 3, 800, 3), kTolerance) << lanes;
  }
}

TEST_F(GpuLogMelLanes, HaveTheSameBitsUnderAnyChunking) {
  const std::vector<float> samples = noise(4000, 1);
  std::mt19937 generator(2);
  for (const int n_fft : {480, 512}) {
    for (const int hop : {7, 161, 512, 700}) {
      const LogMelConfig config = config_of(n_fft, 400, hop, 40);
      const auto lanes = make_cuda_log_mel_lanes(std::make_shared<const LogMel>(config), 1);
      const std::vector<float> whole = process(*lanes, {0}, {samples})[0];
      EXPECT_EQ(whole.size(), static_cast<std::size_t>(config.frame_count(4000)) * 40);
      for (const int longest : {200, 900}) {
        lanes->reset(0);
        std::vector<float> parts;
        for (std::size_t at = 0; at < samples.size();) {
          const std::size_t n = std::min<std::size_t>(generator() % static_cast<unsigned>(longest), 4000 - at);
          const auto from = samples.begin() + static_cast<std::ptrdiff_t>(at);
          const auto more = process(*lanes, {0}, {{from, from + static_cast<std::ptrdiff_t>(n)}})[0];
          parts.insert(parts.end(), more.begin(), more.end());
          at += n;
        }
        EXPECT_EQ(parts, whole) << n_fft << " " << hop << " " << longest;
      }
    }
  }
}

TEST_F(GpuLogMelLanes, ReportASampleThatIsNotFiniteForItsLaneAlone) {
  for (const int n_fft : {480, 512}) {
    for (const int hop : {160, 700}) {
      LogMelConfig config = config_of(n_fft, 480, hop, 32);
      config.normalisation = Normalisation::running;
      config.mean = {-4.0};
      config.std = {2.0};
      const auto shared = std::make_shared<const LogMel>(config);
      // In what is skipped, in frames, between frames, at either end of the chunk, in what is kept.
      for (const std::size_t place : {0, 1, 39, 40, 700, 1500, 2600, 2998, 2999}) {
        const auto lanes = make_cuda_log_mel_lanes(shared, 3);
        OnlineLogMel reference(shared);
        const std::vector<float> first = noise(730, 1);
        const std::vector<float> second = noise(3000, 2);
        process(*lanes, {0, 1, 2}, {first, first, first});
        process(reference, first);
        std::vector<float> broken = second;
        broken[place] = std::numeric_limits<float>::quiet_NaN();
        broken[std::max<std::size_t>(place, 2900)] = std::numeric_limits<float>::infinity();
        std::vector<std::int64_t> bad;
        const auto out = process(*lanes, {0, 1, 2}, {second, broken, second}, &bad);
        const std::vector<float> expected = process(reference, second);
        EXPECT_EQ(bad, (std::vector<std::int64_t>{-1, static_cast<std::int64_t>(place), -1})) << n_fft << " " << hop;
        EXPECT_EQ(out[0], out[2]);
        EXPECT_LT(distance(config, out[0], expected), kTolerance) << n_fft << " " << hop;
        // The lane is as if the chunk had never come, in every bit.
        EXPECT_EQ(lanes->position_samples(1), 730);
        EXPECT_EQ(process(*lanes, {1}, {second})[0], out[0]) << n_fft << " " << hop << " " << place;
      }
    }
  }
}

TEST_F(GpuLogMelLanes, TakeAndGiveDeviceAndPinnedMemory) {
  const auto shared = std::make_shared<const LogMel>(LogMelConfig{});
  const std::vector<float> samples = noise(2 * 1601, 1);
  const auto lanes = make_cuda_log_mel_lanes(shared, 2);
  const auto expected =
      process(*lanes, {0, 1}, {{samples.begin(), samples.begin() + 1601}, {samples.begin() + 1601, samples.end()}});
  const std::size_t values = expected[0].size();
  const cuda::Stream stream;
  // An odd place: not even eight bytes are aligned.
  const cuda::DeviceBuffer<float> from(samples.size());
  const cuda::DeviceBuffer<float> to(2 * values);
  cuda::copy(from.data(), samples.data(), samples.size(), stream);
  stream.synchronize();
  lanes->reset(0);
  lanes->reset(1);
  LaneChunk chunks[] = {{0, from.data(), 1601, to.data()}, {1, from.data() + 1601, 1601, to.data() + values}};
  lanes->process(chunks, Memory::device, Memory::device);
  std::vector<float> got(2 * values);
  cuda::copy(got.data(), to.data(), got.size(), stream);
  stream.synchronize();
  EXPECT_TRUE(std::equal(expected[0].begin(), expected[0].end(), got.begin()));
  EXPECT_TRUE(std::equal(expected[1].begin(), expected[1].end(), got.begin() + static_cast<std::ptrdiff_t>(values)));

  // Long enough for copies of their own, and not.
  for (const std::size_t longest : {std::size_t{1601}, std::size_t{50000}}) {
    const std::vector<float> more = noise(longest + 900, 2);
    const std::vector<float> head(more.begin(), more.begin() + 900);
    const std::vector<float> rest(more.begin() + 900, more.end());
    lanes->reset(0);
    lanes->reset(1);
    const auto wanted = process(*lanes, {0, 1}, {head, rest});
    const cuda::PinnedBuffer<float> pinned(more.size());
    std::copy(more.begin(), more.end(), pinned.data());
    const cuda::PinnedBuffer<float> pinned_out(wanted[0].size() + wanted[1].size());
    lanes->reset(0);
    lanes->reset(1);
    LaneChunk pinned_chunks[] = {
        {1, pinned.data() + 900, static_cast<std::int64_t>(longest), pinned_out.data() + wanted[0].size()},
        {0, pinned.data(), 900, pinned_out.data()}};
    lanes->process(pinned_chunks, Memory::pinned, Memory::pinned);
    EXPECT_TRUE(std::equal(wanted[0].begin(), wanted[0].end(), pinned_out.data())) << longest;
    EXPECT_TRUE(std::equal(wanted[1].begin(), wanted[1].end(), pinned_out.data() + wanted[0].size())) << longest;
  }
}

template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST_F(GpuLogMelLanes, RefuseWhatTheyCannotDo) {
  const auto make = [](const LogMelConfig& config) {
    return refusal([&] { make_cuda_log_mel_lanes(std::make_shared<const LogMel>(config), 1); });
  };
  LogMelConfig centred;
  centred.center = true;
  EXPECT_EQ(make(centred).find("center: expected False"), 0u) << make(centred);
  const std::string longest = make(config_of(1 << 20, 512, 160, 64));
  EXPECT_EQ(longest.find("n_fft: expected a number of at most "), 0u) << longest;
  EXPECT_NE(longest.find("got 1048576"), std::string::npos) << longest;
  EXPECT_EQ(make(LogMelConfig{}), "accepted");
}

#ifdef STREAMSED_EMULATED
TEST_F(GpuLogMelLanes, DoNotDependOnTheOrderOfThreads) {
  for (const int n_fft : {256, 480, 512, 1024, 2048, 4096}) {
    LogMelConfig config = config_of(n_fft, n_fft, n_fft / 4 + 1, 32);
    config.normalisation = Normalisation::running;
    const auto shared = std::make_shared<const LogMel>(config);
    std::vector<float> first;
    for (const emulation::Schedule schedule :
         {emulation::Schedule{emulation::Order::forward, 0}, emulation::Schedule{emulation::Order::reverse, 0},
          emulation::Schedule{emulation::Order::shuffled, 1}, emulation::Schedule{emulation::Order::shuffled, 2}}) {
      emulation::set_schedule(schedule);
      const auto lanes = make_cuda_log_mel_lanes(shared, 2);
      std::vector<float> all;
      for (unsigned call = 0; call < 2; ++call) {
        const auto n = static_cast<std::size_t>(3 * n_fft + 5);
        for (const auto& out : process(*lanes, {1, 0}, {noise(n, call), noise(n / 2, call + 10)})) {
          all.insert(all.end(), out.begin(), out.end());
        }
      }
      if (first.empty()) first = all;
      EXPECT_EQ(all, first) << n_fft;
    }
    emulation::set_schedule({});
  }
}

TEST_F(GpuLogMelLanes, StayAsTheyAreWithoutMemory) {
  const auto shared = std::make_shared<const LogMel>(LogMelConfig{});
  const auto lanes = make_cuda_log_mel_lanes(shared, 1);
  const auto other = make_cuda_log_mel_lanes(shared, 1);
  const std::vector<float> samples = noise(2000, 1);
  emulation::set_device_bytes(emulation::device_bytes_in_use() + 1000);
  EXPECT_THROW(process(*lanes, {0}, {samples}), std::exception);
  emulation::set_device_bytes(std::size_t{1} << 30);
  EXPECT_EQ(lanes->position_samples(0), 0);
  EXPECT_EQ(process(*lanes, {0}, {samples}), process(*other, {0}, {samples}));
}
#endif

}  // namespace
}  // namespace streamsed
