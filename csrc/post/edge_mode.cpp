#include "post/edge_mode.hpp"

#include "base/errors.hpp"

namespace streamsed {

EdgeMode edge_mode_from(const std::string& name) {
  if (name == "reflect") return EdgeMode::reflect;
  if (name == "mirror") return EdgeMode::mirror;
  if (name == "nearest") return EdgeMode::nearest;
  if (name == "constant") return EdgeMode::constant;
  fail_config("mode", "one of reflect, mirror, nearest, constant", name);
}

}  // namespace streamsed
