// The way of one task into one lane.
//
// Most dispatches are fed at once. One that can't be either goes back to its queue, where the
// scheduler gives it to another worker or waits until this lane moves, or it is held: it stays with
// its worker and is tried again in every pass, and at least every kRetryNs.
//
//   lane empty?   lane full              shortage   unreachable            never
//   no            back                   back       back                   the task ends
//   yes           held; after            held       back, and the worker   the task ends
//                 kRoomLimitNs a worker             is retired
//                 that could have made
//                 room is killed
//
// A lane can be full although every task in it has ended: a worker publishes a result before it
// gives the room back, and what was revoked behind it is given back only when it looks for its next
// task. That takes microseconds unless it is kept from its CPU, so it is no fault for a while, and
// none at all of a process that is stopped. The scheduler soon asks for the held task and lets the
// worker rest; the time is counted on until something fits. There is at most one held dispatch per
// lane; whatever else comes for the lane goes back.
#include "server/engine/dispatcher.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/os/process_stats.h"
#include "common/shm/lane_layout.h"

namespace prefork::engine {
namespace {

using scheduler::Action;
using scheduler::EndCause;

constexpr int64_t kRetryNs = 1'000'000;
constexpr int64_t kRoomLimitNs = 1'000'000'000;

// Stopped by a signal or a debugger.
bool IsStopped(const pool::Worker& worker) {
  const absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(worker.pid());
  return stats.ok() && (stats->state == 'T' || stats->state == 't');
}

}  // namespace

FeedResult Dispatcher::Feed(const Action& action, WorkerLink& link, std::string* why) {
  const TaskRecord& record = core_->tasks.at(action.task);
  uint32_t flags = action.notify_start ? shm::kTaskNotifyStart | shm::kTaskMeasure : 0;
  if (link.worker->dedicated()) flags |= shm::kTaskDedicated;
  const bool published = !link.unpublished;
  const FeedResult result = FeedLane(link, action.task, record, action.attempt, flags, why);
  const bool full = result == FeedResult::kLaneFull && link.depth() == 0;
  if (full && link.full_since_ns == 0) link.full_since_ns = core_->now_ns;
  if (result != FeedResult::kFed) return result;
  link.full_since_ns = 0;
  if (published) unpublished_.push_back(&link);
  lanes_->Activate(link);
  if (link.depth() == 1) reporter_->NoteBusy(link);
  life_->Dispatched(action.task, action.attempt, link);
  return result;
}

void Dispatcher::Dispatch(const Action& action, WorkerLink& link) {
  if (link.held) return core_->scheduler.Revoked(link.key, action.task, core_->now_ns);
  std::string why;
  const FeedResult result = Feed(action, link, &why);
  if (result == FeedResult::kFed) return;
  const bool may_pass = result == FeedResult::kLaneFull || result == FeedResult::kShortage;
  if (may_pass && link.depth() == 0) return Hold(action, link);
  DispatchFailed(action.task, link, result, std::move(why));
}

void Dispatcher::DispatchFailed(TaskSlot slot, WorkerLink& link, FeedResult result,
                                std::string why) {
  if (result == FeedResult::kNever) {
    life_->NoteHint(slot, std::move(why));
    core_->scheduler.Finished(link.key, slot, EndCause::kInternalLimit, 0, core_->now_ns);
    return;
  }
  if (result == FeedResult::kUnreachable && link.depth() == 0) {
    link.retiring = true;
    core_->scheduler.RetireWorker(link.key, core_->now_ns);
  }
  core_->scheduler.Revoked(link.key, slot, core_->now_ns);
}

void Dispatcher::Hold(const Action& action, WorkerLink& link) {
  link.held = action;
  held_.push_back(&link);
  if (retry_timer_) return;
  retry_timer_ = true;
  core_->loop->AddTimer(core_->now_ns + kRetryNs, [this] { retry_timer_ = false; });
}

bool Dispatcher::RetryHeld() {
  if (held_.empty()) return false;
  bool any = false;
  for (WorkerLink* const link : std::exchange(held_, {})) {
    const Action action = *std::exchange(link->held, std::nullopt);
    std::string why;
    const FeedResult result = Feed(action, *link, &why);
    const bool full = result == FeedResult::kLaneFull;
    if (full && core_->now_ns - link->full_since_ns >= kRoomLimitNs && !IsStopped(*link->worker)) {
      lanes_->Poison(
          *link, "it has finished every task and does not give the room in its down queue back");
    } else if (full || result == FeedResult::kShortage) {
      Hold(action, *link);
      continue;
    }
    any = true;
    if (result != FeedResult::kFed) DispatchFailed(action.task, *link, result, std::move(why));
  }
  return any;
}

void Dispatcher::Revoke(TaskSlot slot, WorkerLink& link) {
  const bool was_held = link.held && link.held->task == slot;
  if (was_held) {
    link.held.reset();
    std::erase(held_, &link);
  }
  if (was_held || RevokeFromLane(link, slot)) {
    core_->scheduler.Revoked(link.key, slot, core_->now_ns);
  } else {
    core_->scheduler.RevokeRefused(link.key, slot, core_->now_ns);
  }
}

void Dispatcher::Publish() {
  dispatched_ |= !unpublished_.empty();
  for (WorkerLink* const link : unpublished_) PublishLane(*link);
  unpublished_.clear();
}

void Dispatcher::Forget(WorkerLink& link) {
  std::erase(unpublished_, &link);
  std::erase(held_, &link);
}

}  // namespace prefork::engine
