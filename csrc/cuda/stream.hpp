#pragma once

#include <memory>

namespace streamsed::cuda {

class Event;

// A queue of copies and kernels on the device; it waits for no other queue unless told so.
class Stream {
 public:
  Stream();
  Stream(Stream&& other) noexcept;
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();

  void synchronize() const;
  // What is queued from now on runs after what the event has recorded.
  void wait(const Event& event) const;
  // As wait, for all that is queued so far on a stream of somebody else (a cudaStream_t; null is the default one).
  void wait_for(void* native_stream) const;
  // cudaStream_t
  void* native() const { return stream_; }

 private:
  void* stream_ = nullptr;
};

// Waits at the end of a scope left by an exception, so that nothing that is queued uses memory that is about to go.
class Draining {
 public:
  explicit Draining(const Stream& stream);
  ~Draining();
  Draining(const Draining&) = delete;
  Draining& operator=(const Draining&) = delete;

 private:
  const Stream& stream_;
  int exceptions_;
};

// A point in a stream.
class Event {
 public:
  Event();
  Event(Event&& other) noexcept;
  Event& operator=(Event&& other) noexcept;
  ~Event();

  void record(const Stream& stream) const;
  void synchronize() const;
  // cudaEvent_t
  void* native() const { return event_; }

 private:
  void* event_ = nullptr;
};

}  // namespace streamsed::cuda
