#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace streamsed {

// A parameter or input that cannot be used: surfaces in Python as streamsed.errors.ConfigError (a ValueError).
class ConfigError : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// A call that the object's state forbids (after flush, or from a second thread): streamsed.errors.StateError.
class StateError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// A call of the CUDA runtime that failed: streamsed.errors.GpuError.
class GpuError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// streamsed.errors.GpuOutOfMemory.
class GpuOutOfMemory : public GpuError {
 public:
  using GpuError::GpuError;
};

namespace detail {
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}
}  // namespace detail

// Every message has the same three parts, so that a reader finds the parameter, the rule and the value at once.
template <class Value>
[[noreturn]] void fail_config(const char* parameter, const char* expected, const Value& received) {
  throw ConfigError(detail::concat(parameter, ": expected ", expected, ", got ", received));
}

template <class Value>
void require(bool holds, const char* parameter, const char* expected, const Value& received) {
  if (!holds) fail_config(parameter, expected, received);
}

}  // namespace streamsed
