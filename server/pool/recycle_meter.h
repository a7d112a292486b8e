#ifndef PREFORK_SERVER_POOL_RECYCLE_METER_H_
#define PREFORK_SERVER_POOL_RECYCLE_METER_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/pool/pool_spec.h"

namespace prefork::pool {

// Counts what one worker has done and says when it reached its pool's bounds on tasks or resident
// memory of its own. Its age needs no counting. Memory is read rarely, as that is a system call.
class RecycleMeter {
 public:
  using ReadRss = std::function<absl::StatusOr<int64_t>(pid_t)>;
  static constexpr int64_t kRssIntervalNs = 100'000'000;

  explicit RecycleMeter(const PoolSpec& spec, ReadRss read_rss = ReadProcessRss);

  // Returns whether the worker is due for recycling; stays true.
  bool TasksDone(uint64_t count, pid_t pid, int64_t now_ns);
  uint64_t tasks_done() const { return tasks_done_; }

  static absl::StatusOr<int64_t> ReadProcessRss(pid_t pid);

 private:
  uint64_t max_tasks_;
  uint64_t max_rss_bytes_;
  ReadRss read_rss_;
  uint64_t tasks_done_ = 0;
  int64_t next_rss_check_ns_ = 0;
  bool due_ = false;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_RECYCLE_METER_H_
