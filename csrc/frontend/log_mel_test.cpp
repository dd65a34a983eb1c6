#include "frontend/log_mel.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <random>

#include "base/dispatch.hpp"
#include "base/errors.hpp"
#include "frontend/mel_filter_bank.hpp"
#include "testing/allocation_counter.hpp"

namespace streamsed {
namespace {

std::vector<float> noise(std::size_t n) {
  std::mt19937 generator(1);
  std::normal_distribution<float> normal(0.0f, 0.1f);
  std::vector<float> samples(n);
  for (float& value : samples) value = normal(generator);
  return samples;
}

// The definition, term by term, in double.
std::vector<double> slow_log_mel(const LogMelConfig& config, const float* samples) {
  std::vector<double> power;
  for (int k = 0; k <= config.n_fft / 2; ++k) {
    std::complex<double> sum = 0.0;
    for (int n = 0; n < config.window_length; ++n) {
      const double window = 0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * n / config.window_length);
      const double angle =
          -2.0 * std::numbers::pi * static_cast<double>(static_cast<std::int64_t>(k) * n % config.n_fft) / config.n_fft;
      sum += window * static_cast<double>(samples[n]) * std::polar(1.0, angle);
    }
    power.push_back(std::norm(sum));
  }
  std::vector<double> out;
  for (const MelBand& band : mel_filter_bank(config, mel_edges_hz(config))) {
    double mel = 0.0;
    for (std::size_t i = 0; i < band.weights.size(); ++i) {
      mel += band.weights[i] * power[static_cast<std::size_t>(band.first_bin) + i];
    }
    out.push_back(std::log(std::max(mel, config.floor)));
  }
  return out;
}

LogMelConfig config_of(int n_fft, int window, int hop, int n_mels, Precision precision) {
  LogMelConfig config;
  config.n_fft = n_fft;
  config.window_length = window;
  config.hop_length = hop;
  config.n_mels = n_mels;
  config.precision = precision;
  return config;
}

TEST(LogMel, EqualsTheDefinitionOnEveryInstructionSetAndLength) {
  const std::vector<float> samples = noise(4096);
  for (const char* isa : {"baseline", "avx2", "avx512", "neon"}) {
    try {
      force_isa(isa);
    } catch (const ConfigError&) {
      continue;  // this machine lacks it
    }
    for (const int n_fft : {4, 6, 10, 16, 64, 90, 256, 400, 480, 512, 882, 1000, 1024, 1764, 2048}) {
      for (const Precision precision : {Precision::float32, Precision::float64}) {
        const LogMelConfig config = config_of(n_fft, n_fft - n_fft / 8, 7, n_fft < 90 ? 2 : 20, precision);
        const LogMel log_mel(config);
        LogMel::Scratch scratch(log_mel);
        std::vector<float> out(static_cast<std::size_t>(config.n_mels) * 5);
        log_mel.compute(samples.data(), 5, scratch, out.data());
        for (std::size_t t = 0; t < 5; ++t) {
          const std::vector<double> expected = slow_log_mel(config, samples.data() + t * 7);
          for (std::size_t m = 0; m < expected.size(); ++m) {
            EXPECT_NEAR(out[t * expected.size() + m], expected[m], 2e-5) << isa << " " << n_fft << " " << t << " " << m;
          }
        }
      }
    }
  }
  force_isa("auto");
}

TEST(OnlineLogMel, HasTheSameBitsUnderAnyChunking) {
  const std::vector<float> samples = noise(20000);
  std::mt19937 generator(2);
  for (const int hop : {1, 100, 160, 512, 700}) {
    const auto shared = std::make_shared<const LogMel>(config_of(512, 512, hop, 40, Precision::float32));
    const std::int64_t count = shared->config().frame_count(20000);
    std::vector<float> whole(static_cast<std::size_t>(count) * 40);
    LogMel::Scratch scratch(*shared);
    shared->compute(samples.data(), count, scratch, whole.data());
    for (const int longest : {1, 3, 200, 900, 20000}) {
      OnlineLogMel online(shared);
      std::vector<float> parts(whole.size());
      std::size_t written = 0;
      std::int64_t at = 0;
      while (at < 20000) {
        const std::int64_t n =
            std::min<std::int64_t>(std::uniform_int_distribution<int>(0, longest)(generator), 20000 - at);
        const auto more = static_cast<std::size_t>(online.frames_after(n)) * 40;
        ASSERT_LE(written + more, parts.size());
        online.process(samples.data() + at, n, parts.data() + written);
        written += more;
        at += n;
      }
      EXPECT_EQ(written, parts.size()) << hop << " " << longest;
      EXPECT_EQ(parts, whole) << hop << " " << longest;
    }
  }
}

TEST(OnlineLogMel, AllocatesNothingAfterConstruction) {
  const std::vector<float> samples = noise(16000);
  OnlineLogMel online(std::make_shared<const LogMel>(LogMelConfig{}));
  std::vector<float> out(200 * 64);
  const std::int64_t before = allocation_count();
  for (std::size_t at = 0; at + 333 <= samples.size(); at += 333) online.process(samples.data() + at, 333, out.data());
  EXPECT_EQ(allocation_count(), before);
}

TEST(OnlineLogMel, CountsPastTwoToTheThirtySecondSamples) {
  OnlineLogMel online(std::make_shared<const LogMel>(LogMelConfig{}));
  const std::int64_t far = (std::int64_t{1} << 32) + 5;
  const std::int64_t lost = online.skip(far);
  EXPECT_EQ(lost, (far + 159) / 160);
  EXPECT_EQ(online.position_samples(), far);
  const std::vector<float> samples = noise(4000);
  std::vector<float> out(30 * 64);
  const std::int64_t count = online.frames_after(4000);
  online.process(samples.data(), 4000, out.data());
  EXPECT_EQ(online.position_frames(), lost + count);
  // Frame `lost` starts at the first multiple of the hop behind the gap.
  const std::int64_t start = lost * 160 - far;
  EXPECT_EQ(count, 1 + (4000 - start - 512) / 160);
  const auto shared = std::make_shared<const LogMel>(LogMelConfig{});
  LogMel::Scratch scratch(*shared);
  std::vector<float> expected(static_cast<std::size_t>(count) * 64);
  shared->compute(samples.data() + start, count, scratch, expected.data());
  out.resize(expected.size());
  EXPECT_EQ(out, expected);
}

TEST(OnlineLogMel, RefusesCallsAfterFlushUntilReset) {
  OnlineLogMel online(std::make_shared<const LogMel>(LogMelConfig{}));
  const std::vector<float> samples = noise(100);
  online.flush();
  EXPECT_THROW(online.process(samples.data(), 100, nullptr), StateError);
  EXPECT_THROW(online.flush(), StateError);
  EXPECT_THROW(online.skip(1), StateError);
  online.reset();
  EXPECT_NO_THROW(online.process(samples.data(), 100, nullptr));
}

TEST(LogMelConfig, NamesTheFieldThatIsWrong) {
  const auto message = [](auto change) -> std::string {
    LogMelConfig config;
    change(config);
    try {
      config.validate();
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message([](LogMelConfig&) {}), "accepted");
  EXPECT_NE(message([](LogMelConfig& c) { c.n_fft = 511; }).find("n_fft"), std::string::npos);
  EXPECT_NE(message([](LogMelConfig& c) { c.window_length = 513; }).find("window_length"), std::string::npos);
  EXPECT_NE(message([](LogMelConfig& c) { c.hop_length = 0; }).find("hop_length"), std::string::npos);
  EXPECT_NE(message([](LogMelConfig& c) { c.f_max = 9000; }).find("f_max"), std::string::npos);
  EXPECT_NE(message([](LogMelConfig& c) { c.warp_factor = 0.4; }).find("warp_factor"), std::string::npos);
  EXPECT_NE(message([](LogMelConfig& c) {
              c.warp_factor = 1.1;
              c.warp_high_hz = 8000.0;
            }).find("warp_high_hz"),
            std::string::npos);
  EXPECT_NE(message([](LogMelConfig& c) { c.floor = 0; }).find("floor"), std::string::npos);
  EXPECT_NE(message([](LogMelConfig& c) { c.f_min = std::numeric_limits<double>::quiet_NaN(); }).find("f_min"),
            std::string::npos);
}

TEST(Warp, IsContinuousAndRisesFromZeroToHalfTheSampleRate) {
  for (const double factor : {0.5, 0.9, 1.0, 1.1, 2.0}) {
    for (const double high : {100.0, 4800.0, 7999.0}) {
      EXPECT_EQ(warp_hz(0.0, factor, high, 8000.0), 0.0);
      EXPECT_EQ(warp_hz(8000.0, factor, high, 8000.0), 8000.0);
      const double bend = high * std::min(factor, 1.0) / factor;
      EXPECT_NEAR(warp_hz(bend, factor, high, 8000.0), warp_hz(std::nextafter(bend, 9e9), factor, high, 8000.0), 1e-8);
      for (double hz = 0.0; hz < 8000.0; hz += 10.0) {
        EXPECT_LT(warp_hz(hz, factor, high, 8000.0), warp_hz(hz + 10.0, factor, high, 8000.0));
      }
    }
  }
}

TEST(MelScale, IsInvertible) {
  for (const MelScale scale : {MelScale::slaney, MelScale::htk}) {
    for (const double hz : {0.0, 1.0, 440.0, 999.9, 1000.0, 4000.0, 22050.0}) {
      EXPECT_NEAR(mel_to_hz(hz_to_mel(hz, scale), scale), hz, 1e-8);
    }
  }
}

}  // namespace
}  // namespace streamsed
