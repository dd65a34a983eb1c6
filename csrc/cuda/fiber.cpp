#include "cuda/fiber.hpp"

#include <cstdint>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#define STREAMSED_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STREAMSED_ASAN 1
#endif
#endif

#ifdef STREAMSED_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// swapcontext asks the kernel to change the signal mask, at a hundred times the price of the switch itself.
#if defined(__x86_64__) && !defined(STREAMSED_UCONTEXT)
#define STREAMSED_OWN_SWITCH 1
#else
#include <ucontext.h>
#endif

namespace streamsed::emulation {
namespace {

// Kernels call nothing deep, but instrumented frames are large.
constexpr std::size_t kStackBytes = std::size_t{128} << 10;

}  // namespace

struct Fiber::State {
  // Not a vector: its pages stay untouched until they are used.
  std::unique_ptr<std::byte[]> stack{new std::byte[kStackBytes]};
  void (*entry)(void*) = nullptr;
  void* argument = nullptr;
  bool ended = true;
#ifdef STREAMSED_OWN_SWITCH
  void* own_stack_pointer = nullptr;
  void* caller_stack_pointer = nullptr;
#else
  ucontext_t own{};
  ucontext_t caller{};
#endif
  void* fake_stack = nullptr;
  const void* caller_bottom = nullptr;
  std::size_t caller_bytes = 0;

  void switch_in();
  void switch_out();
  void arrived();
};

namespace {

thread_local Fiber* running = nullptr;

}  // namespace

#ifdef STREAMSED_OWN_SWITCH

// Saves what a callee must preserve (System V ABI) and goes on with another stack.
extern "C" void streamsed_switch_stack(void** save, void* load);
asm(R"(
.pushsection .text
.hidden streamsed_switch_stack
.globl streamsed_switch_stack
.type streamsed_switch_stack, @function
streamsed_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size streamsed_switch_stack, .-streamsed_switch_stack
.popsection
)");

#endif

namespace {

thread_local void* starting = nullptr;

}  // namespace

void Fiber::State::arrived() {
#ifdef STREAMSED_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, &caller_bottom, &caller_bytes);
#endif
}

void Fiber::State::switch_in() {
#ifdef STREAMSED_ASAN
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, stack.get(), kStackBytes);
#endif
#ifdef STREAMSED_OWN_SWITCH
  streamsed_switch_stack(&caller_stack_pointer, own_stack_pointer);
#else
  swapcontext(&caller, &own);
#endif
#ifdef STREAMSED_ASAN
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void Fiber::State::switch_out() {
#ifdef STREAMSED_ASAN
  __sanitizer_start_switch_fiber(ended ? nullptr : &fake_stack, caller_bottom, caller_bytes);
#endif
#ifdef STREAMSED_OWN_SWITCH
  streamsed_switch_stack(&own_stack_pointer, caller_stack_pointer);
#else
  swapcontext(&own, &caller);
#endif
  arrived();
}

namespace {

template <class State>
[[noreturn]] void run(State& state) {
  state.arrived();
  state.entry(state.argument);
  state.ended = true;
  state.switch_out();
  __builtin_unreachable();
}

}  // namespace

Fiber::Fiber() : state_(std::make_unique<State>()) {}
Fiber::~Fiber() = default;

void Fiber::start(void (*entry)(void*), void* argument) {
  State& state = *state_;
  state.entry = entry;
  state.argument = argument;
  state.ended = false;
  state.fake_stack = nullptr;
#ifdef STREAMSED_ASAN
  __asan_unpoison_memory_region(state.stack.get(), kStackBytes);
#endif
  void (*const begin)() = [] { run(*static_cast<State*>(starting)); };
#ifdef STREAMSED_OWN_SWITCH
  // As if `begin` had just been called: 8 bytes off a multiple of 16, below that its address and six registers.
  auto top = reinterpret_cast<std::uintptr_t>(state.stack.get() + kStackBytes) / 16 * 16 - 8;
  const std::uintptr_t frame[8] = {0, 0, 0, 0, 0, 0, reinterpret_cast<std::uintptr_t>(begin), 0};
  top -= 7 * sizeof(std::uintptr_t);
  std::memcpy(reinterpret_cast<void*>(top), frame, sizeof(frame));
  state.own_stack_pointer = reinterpret_cast<void*>(top);
#else
  getcontext(&state.own);
  state.own.uc_stack.ss_sp = state.stack.get();
  state.own.uc_stack.ss_size = kStackBytes;
  state.own.uc_link = nullptr;
  makecontext(&state.own, begin, 0);
#endif
}

bool Fiber::resume() {
  Fiber* const outer = running;
  running = this;
  starting = state_.get();
  state_->switch_in();
  running = outer;
  return state_->ended;
}

void Fiber::yield() { running->state_->switch_out(); }

}  // namespace streamsed::emulation
