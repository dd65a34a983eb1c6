#include "cuda/stream.hpp"

#include <exception>
#include <utility>

#include "cuda/runtime.hpp"

namespace streamsed::cuda {
namespace {

cudaStream_t stream_of(void* native) { return static_cast<cudaStream_t>(native); }
cudaEvent_t event_of(void* native) { return static_cast<cudaEvent_t>(native); }

}  // namespace

Stream::Stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  stream_ = stream;
}

Stream::Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}

Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(stream_, other.stream_);
  return *this;
}

Stream::~Stream() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_of(stream_));
}

void Stream::synchronize() const { check(cudaStreamSynchronize(stream_of(stream_)), "cudaStreamSynchronize"); }

void Stream::wait(const Event& event) const {
  check(cudaStreamWaitEvent(stream_of(stream_), event_of(event.native()), 0), "cudaStreamWaitEvent");
}

void Stream::wait_for(void* native_stream) const {
  const Event event;
  check(cudaEventRecord(event_of(event.native()), stream_of(native_stream)), "cudaEventRecord");
  wait(event);
}

Draining::Draining(const Stream& stream) : stream_(stream), exceptions_(std::uncaught_exceptions()) {}

Draining::~Draining() {
  if (std::uncaught_exceptions() == exceptions_) return;
  // A failure of its own has nothing to add to the exception that is under way.
  try {
    stream_.synchronize();
  } catch (const std::exception&) {
  }
}

Event::Event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  event_ = event;
}

Event::Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}

Event& Event::operator=(Event&& other) noexcept {
  std::swap(event_, other.event_);
  return *this;
}

Event::~Event() {
  if (event_ != nullptr) cudaEventDestroy(event_of(event_));
}

void Event::record(const Stream& stream) const {
  check(cudaEventRecord(event_of(event_), stream_of(stream.native())), "cudaEventRecord");
}

void Event::synchronize() const { check(cudaEventSynchronize(event_of(event_)), "cudaEventSynchronize"); }

}  // namespace streamsed::cuda
