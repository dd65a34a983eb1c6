#include "cuda/memory.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <vector>

#include "base/errors.hpp"
#include "cuda/device.hpp"

namespace streamsed::cuda {
namespace {

class GpuMemory : public testing::Test {
 protected:
  void SetUp() override {
    if (device_count() == 0) GTEST_SKIP() << "needs a GPU: " << describe();
  }
};

TEST(Device, IsDescribedOrRefused) {
  EXPECT_FALSE(build().empty());
  EXPECT_FALSE(describe().empty());
  if (device_count() > 0) {
    EXPECT_NO_THROW(require_device());
    return;
  }
  try {
    require_device();
    FAIL() << "there is no device";
  } catch (const ConfigError& error) {
    EXPECT_EQ(std::string(error.what()).find("provider: expected "), 0U) << error.what();
    EXPECT_NE(std::string(error.what()).find("got cuda with no "), std::string::npos) << error.what();
  }
}

TEST_F(GpuMemory, CopiesThereAndBack) {
  const Stream stream;
  PinnedBuffer<int> from(1000);
  DeviceBuffer<int> there(1000);
  PinnedBuffer<int> back(1000);
  std::iota(from.data(), from.data() + 1000, 0);
  copy(there.data(), from.data(), 1000, stream);
  fill_bytes(there.data() + 500, 0, 10 * sizeof(int), stream);
  copy(back.data(), there.data(), 1000, stream);
  copy<int>(nullptr, nullptr, 0, stream);
  stream.synchronize();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(back[static_cast<std::size_t>(i)], i >= 500 && i < 510 ? 0 : i);
}

TEST_F(GpuMemory, EventsOrderStreams) {
  const Stream first;
  const Stream second;
  const Event event;
  std::vector<int> host(1 << 20, 7);
  std::vector<int> back(host.size(), 0);
  DeviceBuffer<int> there(host.size());
  copy(there.data(), host.data(), host.size(), first);
  event.record(first);
  second.wait(event);
  copy(back.data(), there.data(), host.size(), second);
  second.synchronize();
  EXPECT_EQ(back, host);
  event.synchronize();
  second.wait_for(first.native());
  second.wait_for(nullptr);
  second.synchronize();
}

TEST_F(GpuMemory, MovesAndGrows) {
  DeviceBuffer<float> a(10);
  float* const memory = a.data();
  DeviceBuffer<float> b = std::move(a);
  EXPECT_EQ(b.data(), memory);
  EXPECT_EQ(b.size(), 10U);
  b.reserve(5);
  EXPECT_EQ(b.data(), memory);
  b.reserve(11);
  EXPECT_GE(b.size(), 11U);
  EXPECT_EQ(DeviceBuffer<float>(0).data(), nullptr);
}

TEST_F(GpuMemory, RunningOutSaysHowMuchThereIs) {
  try {
    DeviceBuffer<char> everything(std::size_t{1} << 50);
    FAIL() << "no device has a pebibyte";
  } catch (const GpuOutOfMemory& error) {
    EXPECT_EQ(std::string(error.what()).find("GPU memory: expected 1125899906842624 free bytes, got "), 0U)
        << error.what();
  }
  const DeviceBuffer<char> afterwards(1);
  EXPECT_NE(afterwards.data(), nullptr);
}

}  // namespace
}  // namespace streamsed::cuda
