#pragma once

#include <cstddef>
#include <memory>

namespace streamsed::emulation {

// A function call that can be left in the middle and taken up again, on the thread that began it. AddressSanitizer
// follows the change of stacks.
class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Prepares a call of entry(argument); it must not throw. A call that was left in the middle is forgotten, without
  // running its destructors.
  void start(void (*entry)(void*), void* argument);

  // Runs until the call yields or returns; true once it has returned.
  bool resume();

  // From inside the call: back to whoever resumed it.
  static void yield();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace streamsed::emulation
