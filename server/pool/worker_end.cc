#include "server/pool/worker_end.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/pool/exit_verdict.h"

namespace prefork::pool {

void WorkerEnd::Expect(ExitReason reason, std::string_view detail) {
  if (expected_ != ExitReason::kNone) return;
  expected_ = reason;
  expected_detail_ = std::string(detail);
}

void WorkerEnd::NoteStatus(int wait_status, absl::Duration cpu_time, uint64_t peak_rss_bytes) {
  status_ = Status{wait_status, cpu_time, peak_rss_bytes};
}

void WorkerEnd::NoteTreeGone(const std::vector<pid_t>& survivors) {
  tree_gone_ = true;
  if (survivors.empty()) return;
  survivors_ = absl::StrCat("; processes that could not be ended: ", absl::StrJoin(survivors, " "));
}

WorkerExit WorkerEnd::Judge(bool was_ready, bool dedicated, OomProof* oom_proof) const {
  ExitFacts facts;
  if (status_) facts.wait_status = status_->wait_status;
  facts.was_ready = was_ready;
  facts.dedicated = dedicated;
  facts.asked = expected_;
  facts.asked_detail = expected_detail_;
  facts.retired = retired_;
  facts.oom_kill_counted = IsUnexplainedKill(facts) && oom_proof->TakeKill();
  WorkerExit exit = JudgeExit(facts);
  if (status_) {
    exit.cpu_time = status_->cpu_time;
    exit.peak_rss_bytes = status_->peak_rss_bytes;
  }
  exit.detail += survivors_;
  return exit;
}

}  // namespace prefork::pool
