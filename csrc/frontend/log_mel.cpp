#include "frontend/log_mel.hpp"

#include <algorithm>
#include <cmath>

#include "base/errors.hpp"

namespace streamsed {

LogMel::LogMel(const LogMelConfig& config) : config_(config), isa_(active_isa()) {
  config_.validate();
  if (config_.precision == Precision::float32) {
    single_ = std::make_unique<const FramePlan<float>>(config_, isa_);
  } else {
    double_ = std::make_unique<const FramePlan<double>>(config_, isa_);
  }
}

const std::vector<int>& LogMel::empty_bands() const { return single_ ? single_->empty_bands : double_->empty_bands; }

LogMel::Scratch::Scratch(const LogMel& log_mel) {
  // Zeroed: weights of zero multiply what lies behind the last bin, which must be finite.
  if (log_mel.single_) single_.assign(log_mel.single_->scratch_size(), 0.0f);
  if (log_mel.double_) double_.assign(log_mel.double_->scratch_size(), 0.0);
}

void LogMel::compute(const float* samples, std::int64_t count, Scratch& scratch, float* out) const {
  if (single_) {
    frame_kernel<float>(isa_)(*single_, samples, count, config_.hop_length, scratch.single_.data(), out);
  } else {
    frame_kernel<double>(isa_)(*double_, samples, count, config_.hop_length, scratch.double_.data(), out);
  }
}

RunningNormalisation::RunningNormalisation(const LogMelConfig& config)
    : rate_(1.0 - std::exp(-static_cast<double>(config.hop_length) / config.sample_rate / config.running_seconds)),
      warm_up_(config.mean.empty()) {
  const auto n = static_cast<std::size_t>(config.n_mels);
  for (std::size_t m = 0; m < n; ++m) {
    const std::size_t at = config.mean.size() == 1 ? 0 : m;
    initial_mean_.push_back(warm_up_ ? 0.0 : config.mean[at]);
    initial_variance_.push_back(warm_up_ ? 0.0 : config.std[at] * config.std[at]);
  }
  reset();
}

void RunningNormalisation::reset() {
  mean_ = initial_mean_;
  variance_ = initial_variance_;
  seen_ = 0;
}

void RunningNormalisation::apply(float* frames, std::int64_t count) {
  constexpr double kLeastVariance = 1e-8;
  for (std::int64_t t = 0; t < count; ++t) {
    ++seen_;
    const double rate = warm_up_ ? std::max(rate_, 1.0 / static_cast<double>(seen_)) : rate_;
    for (std::size_t m = 0; m < mean_.size(); ++m) {
      float& value = frames[static_cast<std::size_t>(t) * mean_.size() + m];
      // West (1979): variance about the moving mean without cancellation.
      const double difference = value - mean_[m];
      const double step = rate * difference;
      mean_[m] += step;
      variance_[m] = (1.0 - rate) * (variance_[m] + difference * step);
      value = static_cast<float>((value - mean_[m]) / std::sqrt(variance_[m] + kLeastVariance));
    }
  }
}

LogMelState::LogMelState(std::shared_ptr<const LogMel> log_mel)
    : log_mel_(std::move(log_mel)),
      running_(log_mel_->config()),
      is_running_(log_mel_->config().normalisation == Normalisation::running) {
  const LogMelConfig& config = log_mel_->config();
  require(!config.center, "center", "False for a stream, as a centred frame needs the future", "True");
  // Two windows and four hops: room to finish every frame that began before a chunk, and to batch small chunks.
  pending_.assign(static_cast<std::size_t>(2 * config.window_length + kFramesPerBlock * config.hop_length), 0.0f);
}

void LogMelState::process(const float* samples, std::int64_t n, LogMel::Scratch& scratch, float* out) {
  grid_.require_open();
  const LogMelConfig& config = log_mel_->config();
  const std::int64_t hop = config.hop_length;
  float* const first_out = out;
  std::int64_t kept = grid_.pending;
  const std::int64_t skipped = std::min(grid_.to_skip, n);
  grid_.advance(config, n);
  samples += skipped;
  n -= skipped;

  // Frames that begin in pending_ are finished there with the head of the chunk; later ones are read from the chunk
  // itself.
  while (kept > 0 && n > 0) {
    const std::int64_t room = static_cast<std::int64_t>(pending_.size()) - kept;
    const std::int64_t taken = std::min(room, n);
    std::copy_n(samples, taken, pending_.data() + kept);
    const std::int64_t total = kept + taken;
    std::int64_t count = config.frame_count(total);
    const std::int64_t frames_begun = (kept + hop - 1) / hop;
    const bool leaves_pending = count >= frames_begun && n > taken;
    if (leaves_pending) count = frames_begun;
    log_mel_->compute(pending_.data(), count, scratch, out);
    out += count * config.n_mels;
    const std::int64_t used = count * hop;
    if (leaves_pending || used >= total) {
      // The next frame begins in the chunk (or beyond it).
      const std::int64_t inside = std::min(used - kept, n);
      samples += inside;
      n -= inside;
      kept = 0;
    } else {
      std::copy(pending_.data() + used, pending_.data() + total, pending_.data());
      kept = total - used;
      samples += taken;
      n -= taken;
    }
  }

  if (n > 0) {
    const std::int64_t count = config.frame_count(n);
    log_mel_->compute(samples, count, scratch, out);
    out += count * config.n_mels;
    const std::int64_t used = std::min(count * hop, n);
    std::copy_n(samples + used, n - used, pending_.data());
  }
  if (is_running_) running_.apply(first_out, (out - first_out) / config.n_mels);
}

void LogMelState::flush() {
  grid_.require_open();
  grid_.flushed = true;
}

void LogMelState::reset() {
  running_.reset();
  grid_ = FrameGrid{};
}

std::int64_t LogMelState::skip(std::int64_t missing) {
  grid_.require_open();
  return grid_.skip(log_mel_->config(), missing);
}

}  // namespace streamsed
