#include "server/scheduler/lane_depth.h"

#include <algorithm>
#include <cstdint>

namespace prefork::scheduler {
namespace {

// A new sample weighs 1/8: after a burst of long tasks some tens of tiny ones restore the depth.
constexpr int kWeightShift = 3;

}  // namespace

LaneDepth::LaneDepth(int64_t target_ns, uint32_t max_depth)
    : target_ns_(std::max<int64_t>(target_ns, 1)), max_depth_(std::max(max_depth, 1U)) {}

void LaneDepth::OnFinished(int64_t run_ns) {
  run_ns = std::max<int64_t>(run_ns, 0);
  if (run_ns >= target_ns_ || average_ns_ < 0) {
    // One hour-long task must not outweigh the next thousand tiny ones.
    average_ns_ = std::min(run_ns, target_ns_);
  } else {
    average_ns_ += (run_ns - average_ns_) / (1 << kWeightShift);
  }
  const int64_t wanted =
      std::clamp<int64_t>(target_ns_ / std::max<int64_t>(average_ns_, 1), 1, max_depth_);
  if (wanted < depth_) {
    depth_ = static_cast<uint32_t>(wanted);
    finished_ = 0;
  } else if (++finished_ >= depth_) {
    depth_ = static_cast<uint32_t>(std::min<int64_t>(wanted, int64_t{2} * depth_));
    finished_ = 0;
  }
}

}  // namespace prefork::scheduler
