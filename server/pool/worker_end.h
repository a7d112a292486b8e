#ifndef PREFORK_SERVER_POOL_WORKER_END_H_
#define PREFORK_SERVER_POOL_WORKER_END_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "server/pool/oom_proof.h"
#include "server/pool/pool_observer.h"
#include "server/pool/pool_spec.h"

namespace prefork::pool {

// What becomes known of a worker's end, from several sides and in any order, until it is enough for
// a verdict: the status is known, or is lost, and its tree is gone.
class WorkerEnd {
 public:
  // It is killed for `reason`, or was asked by a signal to end for it. The first reason counts.
  void Expect(ExitReason reason, std::string_view detail);
  // It was politely asked to end.
  void Retire(ExitReason reason) { retired_ = reason; }

  // How it ended, from the zygote or from our own wait.
  void NoteStatus(int wait_status, absl::Duration cpu_time, uint64_t peak_rss_bytes);
  // Nobody can say how any more.
  void NoteStatusLost() { status_lost_ = true; }
  // What it had started has ended, but for `survivors`.
  void NoteTreeGone(const std::vector<pid_t>& survivors);

  // What it was killed or asked to end for; kNone: it ended, if it did, by itself.
  ExitReason asked() const { return expected_ != ExitReason::kNone ? expected_ : retired_; }
  bool has_status() const { return status_.has_value(); }
  // No status has to be waited for.
  bool status_settled() const { return has_status() || status_lost_; }
  bool complete() const { return tree_gone_ && status_settled(); }

  // The verdict. Call once: it may take an OOM kill of `oom_proof`.
  WorkerExit Judge(bool was_ready, bool dedicated, OomProof* oom_proof) const;

 private:
  struct Status {
    int wait_status;
    absl::Duration cpu_time;
    uint64_t peak_rss_bytes;
  };

  ExitReason expected_ = ExitReason::kNone;
  std::string expected_detail_;
  ExitReason retired_ = ExitReason::kNone;
  std::optional<Status> status_;
  bool status_lost_ = false;
  bool tree_gone_ = false;
  std::string survivors_;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_WORKER_END_H_
