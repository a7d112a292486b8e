// A task that waits for tasks of its own holds a worker and does nothing with it. If all workers of
// a pool do that, what they wait for never runs. So such a worker lends its place:
//
//   session --SO_PEERCRED--> process --parents--> worker, if a task's process opened the session
//
//   lends from     the session has unfinished tasks, the worker's process sleeps, and its pool has
//                  queued tasks and no idle worker
//   lends until    the session has none any more, or the task in the worker has ended
//
// The pool keeps one worker more for each that lends, at most kMaxLent. That the process sleeps is
// looked at only to begin with: a waiting task wakes up for each result, and a worker that came and
// went with that would cost more than it does by staying.
//
// This needs no word from the worker, so it holds for every client library and for `prefork run` in
// a command's shell script. A task that sleeps for another reason while tasks of its own are
// unfinished lends its place, too, which costs a process. Tasks that were submitted outside sessions
// are not seen.
//
// Nothing is looked at, and no timer is set, while no session of a task has unfinished tasks.
#include "server/engine/slot_lending.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace prefork::engine {
namespace {

constexpr int64_t kLookEveryNs = 20'000'000;
// More parents than a task's process has; a loop of pids that are used again ends here.
constexpr int kMaxParents = 64;

}  // namespace

void SlotLending::Review() {
  LearnOwners();
  const bool wanted =
      !lenders_.empty() || std::any_of(inner_.begin(), inner_.end(), [this](const Inner& inner) {
        const Session* const session = core_->sessions.Find(inner.session);
        return session == nullptr || session->task_count() > 0;
      });
  if (!wanted) {
    next_ns_ = INT64_MAX;
    return;
  }
  if (core_->now_ns >= looked_ns_ + kLookEveryNs) {
    looked_ns_ = core_->now_ns;
    Look();
  }
  next_ns_ = inner_.empty() && lenders_.empty() ? INT64_MAX : looked_ns_ + kLookEveryNs;
}

// Who submits nothing is not asked for: most clients of a pool are no tasks.
void SlotLending::LearnOwners() {
  std::erase_if(unknown_, [this](const Unknown& unknown) {
    const Session* const session = core_->sessions.Find(unknown.session);
    if (session == nullptr) return true;
    if (session->task_count() == 0) return false;
    if (const scheduler::WorkerKey worker = FindOwner(unknown.pid); worker != 0) {
      inner_.push_back({unknown.session, worker});
    }
    return true;
  });
}

// The pooled worker that is `pid` or above it; 0: none.
scheduler::WorkerKey SlotLending::FindOwner(pid_t pid) const {
  absl::flat_hash_map<pid_t, scheduler::WorkerKey> workers;
  for (const auto& [name, pool] : *pools_) {
    for (const pool::Worker* const worker : pool->pool->workers()) {
      if (!worker->dedicated()) workers.emplace(worker->pid(), worker->tag());
    }
  }
  for (int i = 0; i < kMaxParents && pid > 1 && pid != getpid(); ++i) {
    if (const auto found = workers.find(pid); found != workers.end()) return found->second;
    const absl::StatusOr<os::ProcessStats> stats = probe_(pid);
    if (!stats.ok()) return 0;
    pid = stats->parent;
  }
  return 0;
}

void SlotLending::Look() {
  std::erase_if(inner_, [this](const Inner& inner) {
    return core_->sessions.Find(inner.session) == nullptr ||
           workers_->Find(inner.worker) == nullptr;
  });
  absl::flat_hash_map<scheduler::WorkerKey, TaskId> busy;  // with tasks of their own
  for (const Inner& inner : inner_) {
    if (core_->sessions.Find(inner.session)->task_count() == 0) continue;
    const TaskSlot slot = workers_->Find(inner.worker)->Running();
    if (slot != kNone) busy[inner.worker] = core_->tasks.at(slot).id;
  }
  absl::erase_if(lenders_, [&busy](const auto& lender) {
    const auto it = busy.find(lender.first);
    return it == busy.end() || it->second != lender.second;
  });
  for (const auto& [key, task] : busy) {
    if (lenders_.contains(key)) continue;
    const WorkerLink& link = *workers_->Find(key);
    if (Starves(*pools_->At(link.pool)) && Sleeps(link)) lenders_[key] = task;
  }
  absl::flat_hash_map<scheduler::PoolKey, uint32_t> lent;
  for (const auto& [key, task] : lenders_) ++lent[workers_->Find(key)->pool];
  for (const auto& [name, pool] : *pools_) {
    const auto it = lent.find(pool->key);
    const uint32_t count = it == lent.end() ? 0 : it->second;
    if (count > kMaxLent && pool->pool->lent() < kMaxLent) {
      core_->Log(log::Level::kWarning,
                 absl::StrCat("pool ", pool->name, " has ", count,
                              " tasks that wait for tasks of their own and gets no more than ",
                              kMaxLent, " workers for them; make it larger, or nest tasks less"));
    }
    pool->pool->Lend(std::min(count, kMaxLent));
  }
}

bool SlotLending::Starves(const PoolEntry& pool) const {
  if (pool.paused || pool.deleting) return false;
  const scheduler::SchedulerCounts counts = core_->scheduler.counts(pool.key);
  return counts.queued > 0 && counts.idle_workers == counts.resting_workers;
}

bool SlotLending::Sleeps(const WorkerLink& link) const {
  const absl::StatusOr<os::ProcessStats> stats = probe_(link.worker->pid());
  return stats.ok() && stats->state == 'S';
}

}  // namespace prefork::engine
