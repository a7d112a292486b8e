#ifndef PREFORK_SERVER_WORKER_TASK_METER_H_
#define PREFORK_SERVER_WORKER_TASK_METER_H_

#include <cstdint>

#include "common/os/fd.h"

namespace prefork::worker {

// What a task costs this process and the children that were waited for.
class TaskMeter {
 public:
  // Opens the kernel's switch for resetting the peak; without it peaks are those of the worker's
  // whole life.
  TaskMeter();

  struct Cost {
    int64_t cpu_ns;           // user and system
    uint64_t peak_rss_bytes;  // of this process
  };
  void Begin();
  Cost End() const;

 private:
  os::Fd clear_refs_;
  int64_t begin_cpu_ns_ = 0;
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_TASK_METER_H_
