#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "cuda/stream.hpp"

namespace streamsed::cuda {

// Throw GpuOutOfMemory; 0 bytes are null.
void* allocate_device(std::size_t bytes);
void* allocate_pinned(std::size_t bytes);
void free_device(void* memory) noexcept;
void free_pinned(void* memory) noexcept;

template <class T, void* (*allocate)(std::size_t), void (*release)(void*) noexcept>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : data_(static_cast<T*>(allocate(size * sizeof(T)))), size_(size) {}
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) release(data_);
  }

  // Room for at least `size`; what was in it is lost when it grows. Nothing that is queued may use the old memory.
  void reserve(std::size_t size) {
    if (size <= size_) return;
    const std::size_t grown = size + size / 2;
    *this = Buffer();
    *this = Buffer(grown);
  }

  T* data() const { return data_; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

// Memory of the device; the host must not look into it.
template <class T>
using DeviceBuffer = Buffer<T, &allocate_device, &free_device>;

// Memory of the host that copies to and from the device go through without a detour, beside other work.
template <class T>
using PinnedBuffer = Buffer<T, &allocate_pinned, &free_pinned>;

// Queues a copy, from and to any memory.
void copy_bytes(void* to, const void* from, std::size_t bytes, const Stream& stream);
void fill_bytes(void* to, int value, std::size_t bytes, const Stream& stream);

template <class T>
void copy(T* to, const T* from, std::size_t count, const Stream& stream) {
  copy_bytes(to, from, count * sizeof(T), stream);
}

// A small table that the host writes or reads and the device reads or writes.
template <class T>
class Mirror {
 public:
  void reserve(std::size_t size) {
    host_.reserve(size);
    device_.reserve(size);
  }
  T* host() const { return host_.data(); }
  T* device() const { return device_.data(); }
  void upload(std::size_t count, const Stream& stream) const { copy(device(), host(), count, stream); }
  void download(std::size_t count, const Stream& stream) const { copy(host(), device(), count, stream); }

 private:
  PinnedBuffer<T> host_;
  DeviceBuffer<T> device_;
};

}  // namespace streamsed::cuda
