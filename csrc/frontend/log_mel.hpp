#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/busy.hpp"
#include "frontend/aligned.hpp"
#include "frontend/frame_grid.hpp"
#include "frontend/frame_plan.hpp"
#include "frontend/log_mel_config.hpp"

namespace streamsed {

// The stateless part: plan and kernel of one configuration, const and shared by any number of streams and threads.
class LogMel {
 public:
  explicit LogMel(const LogMelConfig& config);

  const LogMelConfig& config() const { return config_; }
  Isa isa() const { return isa_; }
  const std::vector<int>& empty_bands() const;

  // Scratch for one worker of compute().
  class Scratch {
   public:
    explicit Scratch(const LogMel& log_mel);

   private:
    friend class LogMel;
    AlignedVector<float> single_;
    AlignedVector<double> double_;
  };

  // Frames t = 0..count-1 at samples + t * hop_length, before running normalisation; out has count * n_mels values.
  void compute(const float* samples, std::int64_t count, Scratch& scratch, float* out) const;

 private:
  LogMelConfig config_;
  Isa isa_;
  std::unique_ptr<const FramePlan<float>> single_;
  std::unique_ptr<const FramePlan<double>> double_;
};

// Mean and variance per band as exponential averages, in double: x -> (x - mean) / sqrt(var), the frame itself
// included. Without initial values the first frames are averaged plainly until the time constant takes over.
class RunningNormalisation {
 public:
  explicit RunningNormalisation(const LogMelConfig& config);
  void apply(float* frames, std::int64_t count);
  void reset();

  // What the same recursion needs elsewhere: the statistics before the first frame, and by how much a frame counts, or
  // more while there are few (`warms_up`).
  const std::vector<double>& initial_mean() const { return initial_mean_; }
  const std::vector<double>& initial_variance() const { return initial_variance_; }
  double rate() const { return rate_; }
  bool warms_up() const { return warm_up_; }

 private:
  std::vector<double> initial_mean_;
  std::vector<double> initial_variance_;
  std::vector<double> mean_;
  std::vector<double> variance_;
  double rate_;
  bool warm_up_;
  std::int64_t seen_ = 0;
};

// All state of one stream; the scratch is that of the thread which calls. Samples in, frames out, in any chunking: the
// same bits as one big chunk.
class LogMelState {
 public:
  explicit LogMelState(std::shared_ptr<const LogMel> log_mel);

  const LogMel& log_mel() const { return *log_mel_; }
  const FrameGrid& grid() const { return grid_; }

  // Frames that `n` further samples complete.
  std::int64_t frames_after(std::int64_t n) const { return grid_.frames_after(log_mel_->config(), n); }

  // out has frames_after(n) * n_mels values.
  void process(const float* samples, std::int64_t n, LogMel::Scratch& scratch, float* out);

  // Frames are left-aligned, so nothing is left to give: samples of an unfinished frame are forgotten. Then only
  // reset().
  void flush();
  void reset();

  // As reset(), but the clock goes on: the next sample is the one `missing` samples behind the last one. Frames that
  // the lost audio would have been part of do not exist; the first new frame keeps the grid of hops. Returns how many
  // frames were skipped.
  std::int64_t skip(std::int64_t missing);

 private:
  std::shared_ptr<const LogMel> log_mel_;
  RunningNormalisation running_;
  bool is_running_;
  // The samples from the start of the next frame on; fewer than a window between calls.
  AlignedVector<float> pending_;
  FrameGrid grid_;
};

// A stream with a scratch of its own; one owner.
class OnlineLogMel {
 public:
  explicit OnlineLogMel(std::shared_ptr<const LogMel> log_mel)
      : state_(std::move(log_mel)), scratch_(state_.log_mel()) {}

  const LogMel& log_mel() const { return state_.log_mel(); }
  std::int64_t frames_after(std::int64_t n) const { return state_.frames_after(n); }
  void process(const float* samples, std::int64_t n, float* out) { state_.process(samples, n, scratch_, out); }
  void flush() { state_.flush(); }
  void reset() { state_.reset(); }
  std::int64_t skip(std::int64_t missing) { return state_.skip(missing); }

  std::int64_t position_samples() const { return state_.grid().position; }
  std::int64_t position_frames() const { return state_.grid().next_frame; }
  int latency_samples() const { return state_.log_mel().config().window_length - 1; }

  BusyFlag& busy() { return busy_; }

 private:
  LogMelState state_;
  LogMel::Scratch scratch_;
  BusyFlag busy_;
};

}  // namespace streamsed
