#pragma once

#include <cstdint>
#include <vector>

namespace streamsed {

// Posteriors are counted in steps of 1 / kPosteriorSteps, so that sums over any stretch are exact and nothing depends
// on how long the stream has been running.
inline constexpr double kPosteriorSteps = 16777216.0;

// How the posterior of one class is cut where its level changes.
struct ChangeSettings {
  std::size_t column;      // of the class in a row
  std::int64_t half_step;  // half the length of the step filter, in frames
  double merge_absolute;   // a smaller difference between two levels is none
  double merge_relative;   // nor is a smaller ratio
};

// Cuts posteriors into segments of constant level, class by class, every cut decided when two halves of the step filter
// have come in behind it. The definition is reference.change_segments in Python.
class ChangeDetector {
 public:
  // [onset, offset) in the frame numbers given to push(); means over the frames that were heard.
  struct Segment {
    std::int64_t onset;
    std::int64_t offset;
    double posterior;
    double entropy;
    bool spans_gap;
    bool truncated;  // audio was lost right behind it
  };

  explicit ChangeDetector(const std::vector<ChangeSettings>& settings);

  std::size_t classes() const { return tracks_.size(); }
  const ChangeSettings& settings(std::size_t i) const { return tracks_[i].settings; }

  // The row of frame `frame`, which grows from call to call. Take what next() has, for all classes, before the next
  // row.
  void push(const float* row, std::int64_t frame);
  // The next segment of class i that is decided.
  bool next(std::size_t i, Segment& segment);
  // After the last row, or where too much is lost to go on: take what next_of_end() has, then call begin_anew().
  // next_frame is the one behind those heard and lost.
  bool next_of_end(std::size_t i, std::int64_t next_frame, Segment& segment);
  void begin_anew(std::size_t i);
  // Frame behind the newest row, 0 before the first.
  std::int64_t heard_until() const { return taken_ == 0 ? 0 : frame_of(taken_ - 1) + 1; }
  // Mean of the segment that is going on, as far as it is decided.
  double level(std::size_t i) const;
  void reset();

 private:
  // A boundary lies before the row of its number. Rows are counted without those that were lost.
  struct Track {
    ChangeSettings settings;
    std::int64_t origin = 0;    // of the first row since the beginning or begin_anew()
    std::int64_t start = 0;     // of the segment that is going on
    std::int64_t next = 0;      // boundary to be judged
    bool after_silence = true;  // the segment begins at origin, half a step of silence before it included
    std::uint64_t start_posterior = 0;
    std::uint64_t start_entropy = 0;
    std::int64_t start_frame = 0;
  };

  std::uint64_t posterior_at(std::int64_t boundary, std::size_t i) const {
    return posterior_[static_cast<std::size_t>(boundary & mask_) * tracks_.size() + i];
  }
  std::uint64_t entropy_at(std::int64_t boundary, std::size_t i) const {
    return entropy_[static_cast<std::size_t>(boundary & mask_) * tracks_.size() + i];
  }
  std::int64_t frame_of(std::int64_t row) const { return frames_[static_cast<std::size_t>(row & mask_)]; }
  // Sum over [from, to); rows outside the stretch are silent.
  std::int64_t sum(const Track& track, std::size_t i, std::int64_t from, std::int64_t to) const;
  double level(const Track& track, std::size_t i) const;
  // 1 where the level rises at the boundary to be judged, -1 where it falls, else 0.
  int change(const Track& track, std::size_t i) const;
  std::int64_t steepest(const Track& track, std::size_t i, int direction) const;
  bool search(std::size_t i, std::int64_t last, std::int64_t next_frame, Segment& segment);
  bool cut(std::size_t i, std::int64_t boundary, std::int64_t next_frame, Segment& segment);

  std::vector<Track> tracks_;
  std::int64_t mask_ = 0;
  std::vector<std::uint64_t> posterior_;  // running sums up to each boundary; differences stay right on overflow
  std::vector<std::uint64_t> entropy_;
  std::vector<std::int64_t> frames_;
  std::int64_t taken_ = 0;
};

}  // namespace streamsed
