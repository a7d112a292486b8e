#include "server/pool/recycle_meter.h"

#include <utility>

#include "common/os/process_stats.h"

namespace prefork::pool {

RecycleMeter::RecycleMeter(const PoolSpec& spec, ReadRss read_rss)
    : max_tasks_(spec.max_tasks_per_worker),
      max_rss_bytes_(spec.max_worker_rss_bytes),
      read_rss_(std::move(read_rss)) {}

bool RecycleMeter::TasksDone(uint64_t count, pid_t pid, int64_t now_ns) {
  tasks_done_ += count;
  if (due_) return true;
  if (max_tasks_ > 0 && tasks_done_ >= max_tasks_) due_ = true;
  if (!due_ && max_rss_bytes_ > 0 && now_ns >= next_rss_check_ns_) {
    next_rss_check_ns_ = now_ns + kRssIntervalNs;
    const absl::StatusOr<int64_t> rss_bytes = read_rss_(pid);
    due_ = rss_bytes.ok() && *rss_bytes > 0 && static_cast<uint64_t>(*rss_bytes) > max_rss_bytes_;
  }
  return due_;
}

absl::StatusOr<int64_t> RecycleMeter::ReadProcessRss(pid_t pid) {
  // Segments stay mapped in a worker after their tasks, and are not its own.
  return os::ReadPrivateRss(pid);
}

}  // namespace prefork::pool
