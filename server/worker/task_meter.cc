#include "server/worker/task_meter.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace prefork::worker {
namespace {

int64_t CpuNs(const rusage& usage) {
  return (int64_t{usage.ru_utime.tv_sec} + usage.ru_stime.tv_sec) * 1'000'000'000 +
         (int64_t{usage.ru_utime.tv_usec} + usage.ru_stime.tv_usec) * 1'000;
}

int64_t CpuNsOfAll(rusage& self) {
  rusage children;
  getrusage(RUSAGE_SELF, &self);
  getrusage(RUSAGE_CHILDREN, &children);
  return CpuNs(self) + CpuNs(children);
}

}  // namespace

TaskMeter::TaskMeter() : clear_refs_(open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC)) {}

void TaskMeter::Begin() {
  if (clear_refs_.valid()) {
    // "5" resets the peak RSS and nothing else; see proc(5).
    [[maybe_unused]] const ssize_t written = pwrite(clear_refs_.get(), "5", 1, 0);
  }
  rusage self;
  begin_cpu_ns_ = CpuNsOfAll(self);
}

TaskMeter::Cost TaskMeter::End() const {
  rusage self;
  const int64_t end_cpu_ns = CpuNsOfAll(self);
  return {end_cpu_ns - begin_cpu_ns_, static_cast<uint64_t>(self.ru_maxrss) * 1024};
}

}  // namespace prefork::worker
