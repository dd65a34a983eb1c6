#include "cuda/emulated_runtime.hpp"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <unordered_map>

namespace streamsed {

struct EmulatedStream {};
struct EmulatedEvent {};

namespace {

struct Device {
  std::recursive_mutex mutex;
  std::deque<std::function<void()>> queue;
  std::unordered_map<void*, std::size_t> allocations;
  std::size_t limit = std::size_t{1} << 30;
  std::size_t in_use = 0;

  void drain() {
    // What throws takes what was queued behind it along, as a failed kernel does.
    std::deque<std::function<void()>> all;
    all.swap(queue);
    for (const std::function<void()>& work : all) work();
  }
};

Device& device() {
  static Device the;
  return the;
}

// Free memory that stays NaN until it is written.
void* poisoned(std::size_t bytes) {
  void* memory = std::malloc(bytes);
  if (memory != nullptr) std::memset(memory, 0xFF, bytes);
  return memory;
}

}  // namespace

namespace emulation {

void enqueue(std::function<void()> work) {
  const std::lock_guard lock(device().mutex);
  device().queue.push_back(std::move(work));
}

void set_device_bytes(std::size_t bytes) {
  const std::lock_guard lock(device().mutex);
  device().limit = bytes;
}

std::size_t device_bytes_in_use() {
  const std::lock_guard lock(device().mutex);
  return device().in_use;
}

}  // namespace emulation

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulated on the CPU", device().limit, 0, 0, 1};
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = static_cast<int>(emulation::kMostSharedBytes);
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* number) {
  *number = 0;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = 0;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
  const std::lock_guard lock(device().mutex);
  *total = device().limit;
  *free_bytes = device().limit - std::min(device().limit, device().in_use);
  return cudaSuccess;
}

cudaError_t cudaGetLastError() { return cudaSuccess; }

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidValue:
      break;
  }
  return "invalid argument";
}

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  if (bytes > d.limit || d.in_use > d.limit - bytes) return cudaErrorMemoryAllocation;
  *memory = poisoned(bytes);
  if (*memory == nullptr) return cudaErrorMemoryAllocation;
  d.allocations[*memory] = bytes;
  d.in_use += bytes;
  return cudaSuccess;
}

cudaError_t cudaFree(void* memory) {
  if (memory == nullptr) return cudaSuccess;
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  d.drain();
  const auto found = d.allocations.find(memory);
  if (found == d.allocations.end()) return cudaErrorInvalidValue;
  d.in_use -= found->second;
  d.allocations.erase(found);
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  *memory = poisoned(bytes);
  return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t cudaFreeHost(void* memory) {
  const std::lock_guard lock(device().mutex);
  device().drain();
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  emulation::enqueue([=] {
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t) {
  emulation::enqueue([=] {
    if (bytes > 0) std::memset(to, value, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new EmulatedStream;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) {
  const std::lock_guard lock(device().mutex);
  device().drain();
  return cudaSuccess;
}

// Work of all streams runs in the order in which it was queued, so that what an event waits for comes before it.
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }

cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaStreamSynchronize(nullptr); }

}  // namespace streamsed
