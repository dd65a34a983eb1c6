#pragma once

#include <cstdint>
#include <vector>

#include "post/change_detector.hpp"
#include "post/kernels.hpp"

namespace streamsed {

enum class DecisionKind : std::uint8_t { onset, retract, event };

// Frames are numbered from 0, lost ones counted. offset is the frame behind the last one.
struct Decision {
  DecisionKind kind;
  std::int64_t number;
  std::int32_t label;
  std::int64_t onset;
  std::int64_t offset;
  double confidence;
  double uncertainty;
  bool spans_gap;
  bool truncated;
  std::int64_t decided;
};

// Per class; durations in frames.
struct DecoderSettings {
  std::vector<float> threshold_on;
  std::vector<float> threshold_off;
  std::vector<std::int64_t> min_duration;
  std::vector<std::int64_t> min_gap;
  // The classes that are cut where their level changes, in the order of the columns; the others have the hysteresis.
  std::vector<ChangeSettings> changes{};

  std::size_t classes() const { return threshold_on.size(); }
  void validate() const;
};

// Turns smoothed posteriors into events, class by class: an event is a run of frames at or above threshold_off that
// reaches threshold_on, pauses of up to min_gap bridged, or a segment of ChangeDetector with a mean of at least
// threshold_on; those shorter than min_duration are dropped. See streamsed/postprocess.py for what is promised.
class EventDecoder {
 public:
  explicit EventDecoder(DecoderSettings settings);

  // The decisions of the last call stay valid until the next one.
  const std::vector<Decision>& process(const float* smoothed, std::int64_t rows);
  const std::vector<Decision>& gap(std::int64_t frames);
  const std::vector<Decision>& flush();
  void reset();

  int classes() const { return static_cast<int>(settings_.classes()); }
  std::int64_t frames() const { return frame_; }

 private:
  friend class PostChain;

  enum class Phase : std::uint8_t { idle, announced, active, pausing };

  // Sums over frames of the smoothed posterior and its entropy.
  struct Tally {
    double posterior = 0.0;
    double entropy = 0.0;
    std::int64_t frames = 0;

    void add(float value);
    void add(const Tally& other);
  };

  struct Track {
    Phase phase = Phase::idle;
    bool lost = false;         // audio was lost since the class was last active
    bool unheard_end = false;  // and right then: nobody heard it stop
    bool spans_gap = false;
    std::int64_t number = 0;
    std::int64_t onset = 0;
    std::int64_t announced = 0;  // of an announcement: the frame that caused it
    std::int64_t last_hit = 0;   // of an announcement: the newest frame at or above threshold_on
    std::int64_t offset = 0;     // while pausing or lost: the frame behind the last active one
    Tally event;                 // [onset, offset)
    Tally pause;                 // since offset
  };

  // What an event of a class would begin with, if the next frame reached threshold_on: the frames at or above
  // threshold_off, without interruption up to now.
  struct Run {
    std::int64_t start = 0;  // valid if the tally has frames
    Tally tally;
  };

  // One smoothed row, known when frame `now` is in. look_ahead (frames, per class) is null without announcements.
  void step(const float* smoothed, std::int64_t now, const std::int64_t* look_ahead);
  // The unsmoothed row of frame `now`: before step() to keep announcements up, after it to make new ones.
  void sustain(const float* raw, std::int64_t now);
  void announce(const float* raw, std::int64_t now);
  void take_gap(std::int64_t frames);
  void close_all();

  void step_track(Track& track, std::size_t k, float value, std::int64_t now, const std::int64_t* look_ahead);
  void step_changes(const float* smoothed, std::int64_t now, const std::int64_t* look_ahead);
  void settle(std::size_t k, const ChangeDetector::Segment& segment, std::int64_t now);
  bool reaches(double posterior, std::size_t k) const;
  // Decides the rest of a class whose segments cannot go on.
  void end_changes(std::size_t i, std::int64_t now);
  void open(Track& track, std::size_t k, std::int64_t onset, double confidence, double uncertainty, std::int64_t now);
  void close(Track& track, std::size_t k, std::int64_t offset, bool truncated, std::int64_t now);
  void report(Track& track, const Decision& event);
  void retract(Track& track, std::size_t k, std::int64_t now);
  void forget_run(std::size_t k);
  bool any_reaches(const float* values, const std::vector<float>& thresholds) const;

  const DecoderSettings settings_;
  const PostKernels& kernels_;
  std::vector<Track> tracks_;
  std::vector<Run> runs_;
  std::vector<std::int64_t> raw_starts_;  // where each class's run of unsmoothed frames begins, as in Run
  ChangeDetector changes_;
  std::vector<std::size_t> hysteresis_;  // columns of the other classes
  std::vector<Decision> decisions_;
  std::int64_t frame_ = 0;  // of the next smoothed row
  std::int64_t next_number_ = 1;
  std::int64_t busy_tracks_ = 0;  // not idle
  std::int64_t alive_runs_ = 0;   // with a frame
  bool flushed_ = false;
};

}  // namespace streamsed
