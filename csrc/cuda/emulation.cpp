#include "cuda/emulation.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <vector>

#include "base/errors.hpp"
#include "cuda/emulated_runtime.hpp"
#include "cuda/fiber.hpp"

namespace streamsed::emulation {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMostThreads = 1024;

constexpr std::align_val_t kSharedAlignment{128};

struct FreeAligned {
  void operator()(std::byte* memory) const { ::operator delete[](memory, kSharedAlignment); }
};

enum class Status { ready, at_barrier, in_warp, done };

struct Thread {
  std::unique_ptr<Fiber> fiber;
  Status status = Status::ready;
  uint3 index{};
  Where where;
  int predicate = 0;
  unsigned mask = 0;
  std::uint64_t given = 0;
  WarpValues received{};
};

std::string place(const Where& where) { return detail::concat(where.file_name(), ":", where.line()); }

class Block {
 public:
  Block(dim3 size, const std::function<void()>& body, std::mt19937_64& random, Order order)
      : body_(body), random_(random), order_(order), threads_(std::size_t{size.x} * size.y * size.z) {
    turns_.resize(threads_.size());
    std::size_t i = 0;
    for (unsigned z = 0; z < size.z; ++z) {
      for (unsigned y = 0; y < size.y; ++y) {
        for (unsigned x = 0; x < size.x; ++x) threads_[i++].index = {x, y, z};
      }
    }
  }

  void run();
  int wait_at_barrier(int predicate, const Where& where);
  const WarpValues& exchange(unsigned mask, std::uint64_t value, const Where& where);
  unsigned lane() const { return static_cast<unsigned>(current_ % kWarp); }

  static thread_local Block* active;

 private:
  void order_turns();
  bool run_turns();
  void release_barrier();
  static void enter(void* block);

  const std::function<void()>& body_;
  std::mt19937_64& random_;
  const Order order_;
  std::vector<Thread> threads_;
  std::vector<std::size_t> turns_;
  std::size_t current_ = 0;
  int barrier_sum_ = 0;
  std::exception_ptr failure_;
};

thread_local Block* Block::active = nullptr;
thread_local std::vector<std::unique_ptr<Fiber>> idle_fibers;
thread_local Schedule schedule;
thread_local void* shared = nullptr;

void Block::enter(void* block) {
  auto& self = *static_cast<Block*>(block);
  try {
    self.body_();
  } catch (...) {
    self.failure_ = std::current_exception();
  }
}

void Block::order_turns() {
  std::iota(turns_.begin(), turns_.end(), std::size_t{0});
  if (order_ == Order::reverse) std::reverse(turns_.begin(), turns_.end());
  if (order_ == Order::shuffled) std::shuffle(turns_.begin(), turns_.end(), random_);
}

// Lets everybody who can go on do so; false when nobody could.
bool Block::run_turns() {
  order_turns();
  bool any = false;
  for (const std::size_t turn : turns_) {
    Thread& thread = threads_[turn];
    if (thread.status != Status::ready) continue;
    any = true;
    current_ = turn;
    threadIdx = thread.index;
    if (thread.fiber == nullptr) {
      if (idle_fibers.empty()) idle_fibers.push_back(std::make_unique<Fiber>());
      thread.fiber = std::move(idle_fibers.back());
      idle_fibers.pop_back();
      thread.fiber->start(&enter, this);
    }
    if (thread.fiber->resume()) {
      thread.status = Status::done;
      idle_fibers.push_back(std::move(thread.fiber));
    }
    if (failure_) std::rethrow_exception(failure_);
  }
  return any;
}

void Block::release_barrier() {
  const Thread& first =
      *std::find_if(threads_.begin(), threads_.end(), [](const Thread& t) { return t.status != Status::done; });
  int sum = 0;
  for (const Thread& thread : threads_) {
    if (thread.status == Status::in_warp) {
      throw Violation(detail::concat("warp operation at ", place(thread.where), ": expected all threads of mask ",
                                     thread.mask, " to reach it, got a block that waits for ever"));
    }
    if (thread.status == Status::done || thread.where.line() != first.where.line() ||
        place(thread.where) != place(first.where)) {
      throw Violation(
          detail::concat("barrier at ", place(first.where), ": expected all threads to reach it, got one ",
                         thread.status == Status::done ? "that has returned" : "that waits at " + place(thread.where)));
    }
    sum += thread.predicate;
  }
  barrier_sum_ = sum;
  for (Thread& thread : threads_) thread.status = Status::ready;
}

void Block::run() {
  for (;;) {
    while (run_turns()) {
    }
    if (std::all_of(threads_.begin(), threads_.end(), [](const Thread& t) { return t.status == Status::done; })) return;
    release_barrier();
  }
}

int Block::wait_at_barrier(int predicate, const Where& where) {
  Thread& self = threads_[current_];
  self.predicate = predicate;
  self.where = where;
  self.status = Status::at_barrier;
  Fiber::yield();
  return barrier_sum_;
}

const WarpValues& Block::exchange(unsigned mask, std::uint64_t value, const Where& where) {
  Thread& self = threads_[current_];
  const std::size_t first = current_ / kWarp * kWarp;
  const std::size_t count = std::min<std::size_t>(kWarp, threads_.size() - first);
  if (count < kWarp) mask &= (1U << count) - 1U;
  self.mask = mask;
  self.given = value;
  self.where = where;
  if ((mask >> lane() & 1U) == 0) {
    throw Violation(detail::concat("warp operation at ", place(where), ": expected a mask with the calling lane ",
                                   lane(), ", got ", mask));
  }
  self.status = Status::in_warp;
  WarpValues values{};
  for (std::size_t i = 0; i < count; ++i) {
    const Thread& other = threads_[first + i];
    if ((mask >> i & 1U) == 0) continue;
    const bool here = other.status == Status::in_warp && other.mask == mask && other.where.line() == where.line();
    if (!here) {
      Fiber::yield();
      return self.received;
    }
    values[i] = other.given;
  }
  for (std::size_t i = 0; i < count; ++i) {
    if ((mask >> i & 1U) == 0) continue;
    threads_[first + i].received = values;
    threads_[first + i].status = Status::ready;
  }
  return self.received;
}

}  // namespace

void set_schedule(Schedule wanted) { schedule = wanted; }

void run_grid(dim3 grid, dim3 block, std::size_t bytes, const std::function<void()>& body) {
  const std::size_t threads = std::size_t{block.x} * block.y * block.z;
  const std::size_t blocks = std::size_t{grid.x} * grid.y * grid.z;
  if (threads < 1 || threads > kMostThreads || blocks < 1 || grid.y > 65535 || grid.z > 65535 || grid.x > 0x7FFFFFFF) {
    throw Violation(
        detail::concat("launch: expected 1 to 1024 threads and a grid within 2147483647 x 65535 x 65535, got ", threads,
                       " threads and ", grid.x, " x ", grid.y, " x ", grid.z));
  }
  if (bytes > kMostSharedBytes) {
    throw Violation(detail::concat("launch: expected at most ", kMostSharedBytes, " shared bytes, got ", bytes));
  }
  std::mt19937_64 random(schedule.seed);
  std::vector<std::size_t> order(blocks);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (schedule.order == Order::reverse) std::reverse(order.begin(), order.end());
  if (schedule.order == Order::shuffled) std::shuffle(order.begin(), order.end(), random);
  // Exactly as many as were asked for, on a line of their own: AddressSanitizer sees every byte too many.
  const std::unique_ptr<std::byte[], FreeAligned> memory(new (kSharedAlignment) std::byte[bytes]);
  shared = memory.get();
  gridDim = grid;
  blockDim = block;
  for (const std::size_t number : order) {
    blockIdx = {static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
                static_cast<unsigned>(number / grid.x / grid.y)};
    // All bits set is NaN in every floating point type and an impossible index.
    std::memset(memory.get(), 0xFF, bytes);
    Block running(block, body, random, schedule.order);
    Block::active = &running;
    running.run();
  }
  Block::active = nullptr;
}

void* shared_bytes() { return shared; }

int barrier(int predicate, const Where& where) { return Block::active->wait_at_barrier(predicate, where); }

const WarpValues& warp_exchange(unsigned mask, std::uint64_t value, const Where& where) {
  return Block::active->exchange(mask, value, where);
}

unsigned lane_of_warp() { return Block::active->lane(); }

unsigned checked_source(unsigned mask, unsigned lane, const Where& where) {
  if (lane < kWarp && (mask >> lane & 1U) != 0) return lane;
  throw Violation(
      detail::concat("shuffle at ", place(where), ": expected a source lane of mask ", mask, ", got ", lane));
}

}  // namespace streamsed::emulation
