#ifndef PREFORK_SERVER_SCHEDULER_LANE_DEPTH_H_
#define PREFORK_SERVER_SCHEDULER_LANE_DEPTH_H_

#include <cstdint>

namespace prefork::scheduler {

// How many tasks one lane of a pool should hold, so that it holds about `target_ns` of work: one
// long task, hundreds of tiny ones. Begins at 1 and at most doubles with each lane's worth of
// finished tasks; a task longer than the target brings it down at once.
class LaneDepth {
 public:
  LaneDepth(int64_t target_ns, uint32_t max_depth);

  void OnFinished(int64_t run_ns);
  uint32_t depth() const { return depth_; }

 private:
  const int64_t target_ns_;
  const uint32_t max_depth_;
  int64_t average_ns_ = -1;  // moving average of the running time; -1: none seen yet
  uint32_t depth_ = 1;
  uint32_t finished_ = 0;  // since depth_ last changed
};

}  // namespace prefork::scheduler

#endif  // PREFORK_SERVER_SCHEDULER_LANE_DEPTH_H_
