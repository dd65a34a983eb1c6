#include "post/median_lanes_cuda.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "cuda/lane_transfer.hpp"
#include "cuda/memory.hpp"
#include "cuda/tile_plan.hpp"
#include "post/kernels.hpp"
#include "post/median_lanes_kernel.hpp"

namespace streamsed {
namespace {

constexpr std::int64_t kMostValues = 0x7FFFFFFF;

class CudaMedianLanes final : public MedianLanes {
 public:
  CudaMedianLanes(std::vector<int> widths, EdgeMode mode, float cval, int lanes);

 private:
  struct Group {
    int width;
    std::size_t first_class;  // in classes_by_width_
    std::size_t count;

    bool wide() const { return width > kMaxNetworkWidth; }
    std::int64_t items(std::int64_t rows) const {
      const std::int64_t per_item = wide() ? 1 : kMedianRowsPerItem;
      return (rows + per_item - 1) / per_item * static_cast<std::int64_t>(count);
    }
  };

  void run(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream) override;
  void finish(std::span<LaneChunk> chunks, Memory output) override;
  // A history is written before it is read.
  void begin(int) override {}

  // What happens to `rows` of a chunk; at the end no new ones come in and those that wait come out.
  void call(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream, bool end);
  void fill_tasks(std::span<const LaneChunk> chunks, bool end);
  void queue(std::size_t chunks);

  std::vector<Group> groups_;
  std::vector<std::uint32_t> tiles_each_;
  MedianSettings settings_;
  cuda::Stream stream_;
  cuda::DeviceBuffer<float> histories_;
  cuda::DeviceBuffer<std::int32_t> classes_by_width_;
  cuda::Mirror<MedianTask> tasks_;
  cuda::Mirror<std::uint32_t> first_tiles_;  // (groups, chunks + 1)
  cuda::Mirror<unsigned long long> bad_;
  cuda::LaneTransfer transfer_;
};

CudaMedianLanes::CudaMedianLanes(std::vector<int> widths_wanted, EdgeMode edge_mode, float edge_value, int lane_count)
    : MedianLanes(std::move(widths_wanted), edge_mode, edge_value, lane_count),
      settings_{classes(), std::max(1, static_cast<std::int32_t>(2 * latency_frames())), mode(), cval()},
      histories_(static_cast<std::size_t>(lanes()) * static_cast<std::size_t>(settings_.kept) *
                 static_cast<std::size_t>(classes())) {
  require(settings_.kept <= kMostValues / classes(), "widths", "windows with at most 2147483647 values",
          settings_.kept);
  std::map<int, std::vector<std::int32_t>> by_width;
  for (std::size_t k = 0; k < widths().size(); ++k) by_width[widths()[k]].push_back(static_cast<std::int32_t>(k));
  std::vector<std::int32_t> order;
  for (const auto& [width, members] : by_width) {
    groups_.push_back({width, order.size(), members.size()});
    order.insert(order.end(), members.begin(), members.end());
  }
  tiles_each_.resize(groups_.size());
  classes_by_width_ = cuda::DeviceBuffer<std::int32_t>(order.size());
  cuda::copy(classes_by_width_.data(), order.data(), order.size(), stream_);
  stream_.synchronize();
}

void CudaMedianLanes::run(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream) {
  call(chunks, input, output, producer_stream, false);
}

void CudaMedianLanes::finish(std::span<LaneChunk> chunks, Memory output) {
  for (LaneChunk& chunk : chunks) chunk.count = 0;
  call(chunks, Memory::device, output, 0, true);
}

void CudaMedianLanes::fill_tasks(std::span<const LaneChunk> chunks, bool end) {
  const std::int64_t kept = settings_.kept;
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    const LaneChunk& chunk = chunks[c];
    const std::int64_t before = taken(chunk.lane);
    const std::int64_t rows_out = end ? rows_after_flush(chunk.lane) : rows_after(chunk.lane, chunk.count);
    const std::int64_t given = std::max<std::int64_t>(0, before - latency_frames());
    tasks_.host()[c] = {transfer_.input(chunks, c),
                        transfer_.output(chunks, c),
                        histories_.data() + chunk.lane * kept * classes(),
                        before,
                        static_cast<std::int32_t>(before % kept),
                        static_cast<std::int32_t>(chunk.count),
                        static_cast<std::int32_t>(given - before),
                        static_cast<std::int32_t>(rows_out)};
  }
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const Group& group = groups_[g];
    const std::span<std::uint32_t> first(first_tiles_.host() + g * (chunks.size() + 1), chunks.size() + 1);
    tiles_each_[g] = cuda::plan_tiles(
        first, group.wide() ? kWideMedianTileItems : kMedianTileItems,
        [&](std::size_t c) { return group.items(std::max(tasks_.host()[c].rows, tasks_.host()[c].rows_out)); });
  }
}

void CudaMedianLanes::queue(std::size_t chunks) {
  const auto count = static_cast<std::uint32_t>(chunks);
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const std::size_t first = g * (chunks + 1);
    const MedianGroup group{classes_by_width_.data() + groups_[g].first_class,
                            static_cast<std::int32_t>(groups_[g].count),
                            groups_[g].width,
                            first_tiles_.device() + first,
                            tiles_each_[g],
                            first_tiles_.host()[first + chunks]};
    queue_medians(tasks_.device(), count, group, settings_, bad_.device(), stream_);
  }
  queue_history(tasks_.device(), count, settings_, bad_.device(), stream_);
}

void CudaMedianLanes::call(std::span<LaneChunk> chunks, Memory input, Memory output, std::uint64_t producer_stream,
                           bool end) {
  const std::size_t n = chunks.size();
  for (const LaneChunk& chunk : chunks) {
    require(chunk.count <= kMostValues / classes(), "posteriors", "at most 2147483647 values of a lane in a call",
            detail::concat(chunk.count, " rows of ", classes()));
  }
  transfer_.prepare(
      chunks, input, output, [&](std::size_t c) { return chunks[c].count * classes(); },
      [&](std::size_t c) {
        const int lane = chunks[c].lane;
        return (end ? rows_after_flush(lane) : rows_after(lane, chunks[c].count)) * classes();
      });
  tasks_.reserve(n);
  first_tiles_.reserve(groups_.size() * (n + 1));
  bad_.reserve(n);
  fill_tasks(chunks, end);

  const cuda::Draining draining(stream_);
  if (input == Memory::device || output == Memory::device) {
    stream_.wait_for(reinterpret_cast<void*>(producer_stream));
  }
  tasks_.upload(n, stream_);
  first_tiles_.upload(groups_.size() * (n + 1), stream_);
  cuda::fill_bytes(bad_.device(), 0xFF, n * sizeof(unsigned long long), stream_);
  transfer_.upload(chunks, stream_);
  queue(n);
  bad_.download(n, stream_);
  transfer_.download(chunks, stream_);
  stream_.synchronize();

  transfer_.deliver(chunks);
  for (std::size_t c = 0; c < n; ++c) {
    if (bad_.host()[c] != ~0ULL) chunks[c].bad = static_cast<std::int64_t>(bad_.host()[c]);
  }
}

}  // namespace

std::unique_ptr<MedianLanes> make_cuda_median_lanes(std::vector<int> widths, EdgeMode mode, float cval, int lanes) {
  return std::make_unique<CudaMedianLanes>(std::move(widths), mode, cval, lanes);
}

}  // namespace streamsed
