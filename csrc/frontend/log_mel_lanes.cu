#include <algorithm>
#include <bit>
#include <cstring>
#include <numbers>
#include <utility>
#include <vector>

#include "base/errors.hpp"
#include "cuda/device.hpp"
#include "cuda/kernel.hpp"
#include "cuda/memory.hpp"
#include "frontend/log_mel_any.cuh"
#include "frontend/log_mel_frames.cuh"
#include "frontend/log_mel_lanes_cuda.hpp"
#include "frontend/log_mel_registers.cuh"
#include "frontend/log_mel_running.cuh"
#include "frontend/log_mel_tables.hpp"

namespace streamsed {
namespace {

using namespace log_mel_lanes;

template <class T>
cuda::DeviceBuffer<T> upload(const std::vector<T>& values, const cuda::Stream& stream) {
  cuda::DeviceBuffer<T> buffer(values.size());
  cuda::copy(buffer.data(), values.data(), values.size(), stream);
  return buffer;
}

template <class T>
struct DeviceTables {
  DeviceTables(const LogMelTables<T>& tables, const cuda::Stream& stream)
      : window(upload(tables.window, stream)),
        passes(upload(tables.passes, stream)),
        twiddles(upload(tables.twiddles, stream)),
        roots(upload(tables.roots, stream)),
        unpack(upload(tables.unpack, stream)),
        bands(upload(tables.bands, stream)),
        weights(upload(tables.weights, stream)),
        scale(upload(tables.scale, stream)),
        shift(upload(tables.shift, stream)) {
    stream.synchronize();
  }

  cuda::DeviceBuffer<T> window;
  cuda::DeviceBuffer<TablePass> passes;
  cuda::DeviceBuffer<T> twiddles;
  cuda::DeviceBuffer<T> roots;
  cuda::DeviceBuffer<T> unpack;
  cuda::DeviceBuffer<TableBand> bands;
  cuda::DeviceBuffer<T> weights;
  cuda::DeviceBuffer<T> scale;
  cuda::DeviceBuffer<T> shift;
};

// Which kernel computes the frames of one front-end, and how.
template <class T>
struct FrameLaunch {
  void (*kernel)(Parameters<T>);
  int block;
  int frames_per_block;
  std::size_t shared_bytes;
};

template <int Threads>
FrameLaunch<float> register_launch(const LogMelConfig& config) {
  using Plan = RegisterPlan<Threads>;
  // Frames of a block share samples, up to a point where too few blocks fit into a multiprocessor.
  constexpr int kFramesAimedAt = 16;
  constexpr int kStagedAimedAt = 4096;
  int frames = std::max(Plan::kFrames, kFramesAimedAt);
  const auto staged = [&] { return staged_length(frames, config.hop_length, config.window_length, config.n_fft); };
  while (frames > Plan::kFrames && staged() > kStagedAimedAt) frames -= Plan::kFrames;
  const std::size_t floats = static_cast<std::size_t>(Plan::kWork) + static_cast<std::size_t>(staged());
  return {&log_mel_registers<Threads>, Plan::kBlock, frames, floats * sizeof(float)};
}

template <class T>
FrameLaunch<T> any_launch(const LogMelConfig& config) {
  constexpr int kMostFrames = 32;
  constexpr int kPointsAimedAt = 1024;
  const int half = config.n_fft / 2;
  const int wanted = std::clamp(kPointsAimedAt / half, 1, kMostFrames);
  const auto frames = static_cast<int>(std::bit_floor(static_cast<unsigned>(wanted)));
  const auto complex = [](int h, int f) { return 2 * static_cast<std::size_t>(any_buffer(h, f)) * sizeof(Complex<T>); };
  const std::size_t limit = cuda::most_shared_bytes();
  if (complex(half, frames) > limit) {
    fail_config("n_fft",
                detail::concat("a number of at most ", limit / (2 * sizeof(Complex<T>)) * 2,
                               ", as two copies of a frame have to fit into the ", limit,
                               " bytes of shared memory of this device,")
                    .c_str(),
                config.n_fft);
  }
  return {&log_mel_any<T>, kAnyBlock, frames, complex(half, frames)};
}

// The largest radix of the tables goes with the kernel.
constexpr int kRegisterRadix = 16;
constexpr int kAnyRadix = 8;

template <class T>
bool fits_registers(const LogMelConfig& config) {
  return std::is_same_v<T, float> && config.n_fft >= 256 && config.n_fft <= 4096 &&
         std::has_single_bit(static_cast<unsigned>(config.n_fft));
}

template <class T>
FrameLaunch<T> choose_launch(const LogMelConfig& config) {
  if constexpr (std::is_same_v<T, float>) {
    if (fits_registers<T>(config)) {
      switch (config.n_fft) {
        case 256:
          return register_launch<8>(config);
        case 512:
          return register_launch<16>(config);
        case 1024:
          return register_launch<32>(config);
        case 2048:
          return register_launch<64>(config);
        default:
          return register_launch<128>(config);
      }
    }
  }
  return any_launch<T>(config);
}

template <class T>
class GpuLogMelLanes final : public LogMelLanes {
 public:
  GpuLogMelLanes(std::shared_ptr<const LogMel> log_mel, int lanes)
      : LogMelLanes(std::move(log_mel), lanes),
        launch_(choose_launch<T>(config())),
        tables_(LogMelTables<T>(config(), fits_registers<T>(config()) ? kRegisterRadix : kAnyRadix), stream_),
        states_(static_cast<std::size_t>(lanes)),
        kept_stride_(static_cast<std::size_t>(config().window_length + 31) / 32 * 32),
        kept_(2 * kept_stride_ * static_cast<std::size_t>(lanes)) {
    require(!config().center, "center", "False for a stream, as a centred frame needs the future", "True");
    if (config().normalisation == Normalisation::running) prepare_running();
  }

 private:
  struct LaneState {
    FrameGrid grid;
    std::int64_t frames = 0;  // since the reset
    int side = 0;             // in which of the lane's two buffers its samples are
  };

  const LogMelConfig& config() const { return log_mel().config(); }
  LaneState& state(int lane) { return states_[static_cast<std::size_t>(lane)]; }
  const FrameGrid& grid_of(int lane) const override { return states_[static_cast<std::size_t>(lane)].grid; }
  std::int64_t skip_lane(int lane, std::int64_t missing) override { return state(lane).grid.skip(config(), missing); }
  void flush_lane(int lane) override { state(lane).grid.flushed = true; }
  void reset_lane(int lane) override {
    state(lane).grid = FrameGrid{};
    state(lane).frames = 0;
  }
  float* kept(int lane, int side) const {
    return kept_.data() + (static_cast<std::size_t>(lane) * 2 + static_cast<std::size_t>(side)) * kept_stride_;
  }

  void prepare_running() {
    const RunningNormalisation running(config());
    std::vector<double> initial;
    for (std::size_t m = 0; m < running.initial_mean().size(); ++m) {
      initial.push_back(running.initial_mean()[m]);
      initial.push_back(running.initial_variance()[m]);
    }
    running_rate_ = running.rate();
    running_warm_up_ = running.warms_up();
    initial_ = upload(initial, stream_);
    running_ = cuda::DeviceBuffer<double>(initial.size() * states_.size());
    stream_.synchronize();
  }

  void run(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream) override {
    if (chunks.empty()) return;
    const Layout layout = lay_out(chunks, input, output);
    pinned_in_.reserve(layout.packed_in);
    device_in_.reserve(layout.bytes_in);
    pinned_out_.reserve(layout.packed_out);
    device_out_.reserve(layout.bytes_out);
    try {
      queue(chunks, layout, input, output, producer_stream);
      stream_.synchronize();
    } catch (...) {
      // What is queued still uses the buffers; the error to tell is the first one.
      try {
        stream_.synchronize();
      } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
      }
      throw;
    }
    take_over(chunks, layout, output);
  }

  // Offsets in bytes, into what goes to the device and what comes back. Each is packed, through pinned memory of our
  // own and in one copy, up to what the caller has in pinned memory and is worth a copy for itself.
  struct Layout {
    std::size_t work_of_block = 0;
    std::int64_t blocks = 0;
    std::size_t samples = 0;
    std::size_t packed_in = 0;
    std::size_t bytes_in = 0;
    std::size_t rows = 0;
    std::size_t packed_out = 0;
    std::size_t bytes_out = 0;
  };

  static bool is_worth_a_copy(Memory memory, std::size_t bytes) {
    return memory == Memory::pinned && bytes >= (std::size_t{1} << 16);
  }

  static constexpr std::size_t kAlignment = 16;
  static std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
  static std::size_t bytes_of(const LaneChunk& chunk) {
    return aligned(static_cast<std::size_t>(chunk.count) * sizeof(float));
  }
  std::size_t bytes_of_rows(std::int64_t frames) const {
    return aligned(static_cast<std::size_t>(frames * config().n_mels) * sizeof(float));
  }

  std::int64_t frames_of(const LaneChunk& chunk) const {
    return grid_of(chunk.lane).frames_after(config(), chunk.count);
  }
  // One at least: samples have to be looked at and kept, even if they complete no frame.
  std::int64_t blocks_of(std::int64_t frames) const {
    return std::max<std::int64_t>((frames + launch_.frames_per_block - 1) / launch_.frames_per_block, 1);
  }

  Layout lay_out(std::span<LaneChunk> chunks, Memory input, Memory output) const {
    Layout layout;
    for (const LaneChunk& chunk : chunks) layout.blocks += blocks_of(frames_of(chunk));
    require(layout.blocks <= 0x7FFFFFFF, "chunks", "fewer frames in one call",
            layout.blocks * launch_.frames_per_block);
    layout.work_of_block = aligned(chunks.size() * sizeof(LaneWork));
    layout.samples = layout.work_of_block + aligned(static_cast<std::size_t>(layout.blocks) * sizeof(std::int32_t));
    layout.rows = aligned(chunks.size() * sizeof(unsigned long long));
    layout.packed_in = layout.samples;
    layout.packed_out = layout.rows;
    std::size_t direct_in = 0;
    std::size_t direct_out = 0;
    for (const LaneChunk& chunk : chunks) {
      const std::size_t in = input == Memory::device ? 0 : bytes_of(chunk);
      const std::size_t out = output == Memory::device ? 0 : bytes_of_rows(frames_of(chunk));
      (is_worth_a_copy(input, in) ? direct_in : layout.packed_in) += in;
      (is_worth_a_copy(output, out) ? direct_out : layout.packed_out) += out;
    }
    layout.bytes_in = layout.packed_in + direct_in;
    layout.bytes_out = layout.packed_out + direct_out;
    return layout;
  }

  void queue(std::span<const LaneChunk> chunks, const Layout& layout, Memory input, Memory output,
             std::uint64_t producer_stream) {
    auto* const works = reinterpret_cast<LaneWork*>(pinned_in_.data());
    auto* const work_of_block = reinterpret_cast<std::int32_t*>(pinned_in_.data() + layout.work_of_block);
    std::size_t packed_in = layout.samples;
    std::size_t direct_in = layout.packed_in;
    std::size_t packed_out = layout.rows;
    std::size_t direct_out = layout.packed_out;
    std::int64_t blocks = 0;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const LaneChunk& chunk = chunks[i];
      LaneWork& work = works[i];
      work = lane_work(chunk);
      const auto values = static_cast<std::size_t>(chunk.count);
      if (input == Memory::device) {
        work.chunk = chunk.in;
      } else if (is_worth_a_copy(input, bytes_of(chunk))) {
        auto* const to = reinterpret_cast<float*>(device_in_.data() + direct_in);
        cuda::copy(to, chunk.in, values, stream_);
        work.chunk = to;
        direct_in += bytes_of(chunk);
      } else {
        if (values > 0) std::memcpy(pinned_in_.data() + packed_in, chunk.in, values * sizeof(float));
        work.chunk = reinterpret_cast<const float*>(device_in_.data() + packed_in);
        packed_in += bytes_of(chunk);
      }
      if (output == Memory::device) {
        work.out = chunk.out;
      } else {
        std::size_t& at = is_worth_a_copy(output, bytes_of_rows(work.frames)) ? direct_out : packed_out;
        work.out = reinterpret_cast<float*>(device_out_.data() + at);
        at += bytes_of_rows(work.frames);
      }
      work.first_block = blocks;
      blocks += blocks_of(work.frames);
      std::fill(work_of_block + work.first_block, work_of_block + blocks, static_cast<std::int32_t>(i));
    }

    auto* const bad = reinterpret_cast<unsigned long long*>(device_out_.data());
    if (input == Memory::device) stream_.wait_for(reinterpret_cast<void*>(producer_stream));
    cuda::copy(device_in_.data(), pinned_in_.data(), layout.packed_in, stream_);
    cuda::fill_bytes(bad, 0xFF, chunks.size() * sizeof(unsigned long long), stream_);
    Parameters<T> parameters = constant_parameters();
    parameters.works = reinterpret_cast<const LaneWork*>(device_in_.data());
    parameters.work_of_block = reinterpret_cast<const std::int32_t*>(device_in_.data() + layout.work_of_block);
    parameters.bad = bad;
    cuda::launch(launch_.kernel, dim3(static_cast<unsigned>(layout.blocks)), dim3(static_cast<unsigned>(launch_.block)),
                 launch_.shared_bytes, stream_, parameters);
    if (running_.size() > 0) {
      const RunningParameters running{
          parameters.works, bad, config().n_mels, running_rate_, running_warm_up_, initial_.data(), running_.data()};
      const auto bands = static_cast<unsigned>((config().n_mels + kRunningBlock - 1) / kRunningBlock);
      cuda::launch(&normalise_running, dim3(static_cast<unsigned>(chunks.size()), bands), dim3(kRunningBlock), 0,
                   stream_, running);
    }
    cuda::copy(pinned_out_.data(), device_out_.data(), layout.packed_out, stream_);
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      if (!is_worth_a_copy(output, bytes_of_rows(works[i].frames))) continue;
      cuda::copy(chunks[i].out, works[i].out, static_cast<std::size_t>(works[i].frames * config().n_mels), stream_);
    }
  }

  LaneWork lane_work(const LaneChunk& chunk) const {
    const LaneState& lane = states_[static_cast<std::size_t>(chunk.lane)];
    LaneWork work{};
    work.count = chunk.count;
    work.skipped = std::min(lane.grid.to_skip, chunk.count);
    work.kept = kept(chunk.lane, lane.side);
    work.next_kept = kept(chunk.lane, 1 - lane.side);
    work.kept_count = lane.grid.pending;
    work.length = lane.grid.pending + chunk.count - work.skipped;
    work.frames = lane.grid.frames_after(config(), chunk.count);
    work.frames_before = lane.frames;
    work.lane = chunk.lane;
    return work;
  }

  Parameters<T> constant_parameters() const {
    Parameters<T> parameters{};
    parameters.frames_per_block = launch_.frames_per_block;
    parameters.hop = config().hop_length;
    parameters.window_length = config().window_length;
    parameters.half = Divisor(config().n_fft / 2);
    parameters.pairs = Divisor(config().n_fft / 4 + 1);
    parameters.window = tables_.window.data();
    parameters.passes = tables_.passes.data();
    parameters.pass_count = static_cast<int>(tables_.passes.size());
    parameters.twiddles = reinterpret_cast<const Complex<T>*>(tables_.twiddles.data());
    parameters.roots = reinterpret_cast<const Complex<T>*>(tables_.roots.data());
    parameters.unpack = reinterpret_cast<const Complex<T>*>(tables_.unpack.data());
    parameters.n_mels = config().n_mels;
    parameters.bands = tables_.bands.data();
    parameters.weights = tables_.weights.data();
    parameters.scale = tables_.scale.data();
    parameters.shift = tables_.shift.data();
    parameters.magnitude = config().spectrum == Spectrum::magnitude;
    parameters.logarithm = config().log != LogKind::none;
    const double decibel = (parameters.magnitude ? 20.0 : 10.0) / std::numbers::ln10;
    parameters.log_factor = static_cast<T>(config().log == LogKind::db ? decibel : 1.0);
    parameters.floor = static_cast<T>(config().floor);
    parameters.clamp_min = static_cast<T>(config().clamp_min);
    parameters.clamp_max = static_cast<T>(config().clamp_max);
    return parameters;
  }

  void take_over(std::span<LaneChunk> chunks, const Layout& layout, Memory output) {
    const auto* const bad = reinterpret_cast<const unsigned long long*>(pinned_out_.data());
    std::size_t packed_out = layout.rows;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      LaneChunk& chunk = chunks[i];
      LaneState& lane = state(chunk.lane);
      const std::int64_t frames = lane.grid.frames_after(config(), chunk.count);
      const bool is_packed = output != Memory::device && !is_worth_a_copy(output, bytes_of_rows(frames));
      chunk.bad = bad[i] == kAllFinite ? -1 : static_cast<std::int64_t>(bad[i]);
      if (chunk.bad < 0) {
        lane.grid.advance(config(), chunk.count);
        lane.frames += frames;
        lane.side = 1 - lane.side;
        if (is_packed && frames > 0) {
          std::memcpy(chunk.out, pinned_out_.data() + packed_out,
                      static_cast<std::size_t>(frames * config().n_mels) * sizeof(float));
        }
      }
      if (is_packed) packed_out += bytes_of_rows(frames);
    }
  }

  cuda::Stream stream_;
  FrameLaunch<T> launch_;
  DeviceTables<T> tables_;
  std::vector<LaneState> states_;
  std::size_t kept_stride_;
  cuda::DeviceBuffer<float> kept_;
  double running_rate_ = 0.0;
  bool running_warm_up_ = false;
  cuda::DeviceBuffer<double> initial_;
  cuda::DeviceBuffer<double> running_;
  cuda::PinnedBuffer<unsigned char> pinned_in_;
  cuda::DeviceBuffer<unsigned char> device_in_;
  cuda::PinnedBuffer<unsigned char> pinned_out_;
  cuda::DeviceBuffer<unsigned char> device_out_;
};

}  // namespace

std::unique_ptr<LogMelLanes> make_cuda_log_mel_lanes(std::shared_ptr<const LogMel> log_mel, int lanes) {
  cuda::require_device();
  if (log_mel->config().precision == Precision::float32) {
    return std::make_unique<GpuLogMelLanes<float>>(std::move(log_mel), lanes);
  }
  return std::make_unique<GpuLogMelLanes<double>>(std::move(log_mel), lanes);
}

}  // namespace streamsed
