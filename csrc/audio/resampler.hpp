#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace streamsed {

// Taps of a polyphase filter by phase: row r, of 2·half taps, is for an output r / up after an input. Const and shared.
// No taps (half = 0) pass everything through.
class PolyphaseTaps {
 public:
  PolyphaseTaps(std::vector<float> taps, std::int64_t up, std::int64_t down);

  std::int64_t up() const { return up_; }
  std::int64_t down() const { return down_; }
  std::int64_t half() const { return half_; }
  const float* phase(std::int64_t r) const { return taps_.data() + r * 2 * half_; }

 private:
  std::vector<float> taps_;
  std::int64_t up_;
  std::int64_t down_;
  std::int64_t half_;
};

// Resamples one channel by up / down: output n lies at input position n · down / up (streamsed.sources.Resampler).
// Every output is one sum in a fixed order, whatever the chunks and the machine.
class Resampler {
 public:
  explicit Resampler(std::shared_ptr<const PolyphaseTaps> taps);

  // How many outputs the next `count` inputs complete.
  std::int64_t outputs_after(std::int64_t count) const;

  // `out` holds outputs_after(count) values.
  void process(const float* samples, std::int64_t count, float* out);

  // How many outputs flush() gives.
  std::int64_t outputs_at_end() const;

  // Silence follows the signal. Afterwards only reset() is legal; anything else throws StateError.
  void flush(float* out);

  // Becomes equal to a new object whose output 0 lies `offset` / up input samples after input 0.
  void reset(std::int64_t offset);

  void check_open(const char* verb) const;

 private:
  std::int64_t end_after(std::int64_t taken) const;
  void give(std::int64_t count, float* out);

  std::shared_ptr<const PolyphaseTaps> taps_;
  std::int64_t offset_ = 0;
  std::int64_t taken_ = 0;
  std::int64_t next_ = 0;        // number of the next output
  std::int64_t first_held_ = 0;  // number of the input that held_ begins with
  std::vector<float> held_;
  bool finished_ = false;
};

}  // namespace streamsed
