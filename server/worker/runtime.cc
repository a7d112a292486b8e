#include "server/worker/runtime.h"

namespace prefork::worker {

void TaskEnd::Clear() {
  outcome = shm::TaskOutcome::kSucceeded;
  wait_status = 0;
  error.clear();
  content_type.clear();
  value.clear();
  value_allocated = false;
  wrote_output = false;
  cpu_ns = -1;
  peak_rss_bytes = 0;
}

absl::Status Runtime::StartWorker(uint32_t /*worker_index*/) { return absl::OkStatus(); }

}  // namespace prefork::worker
