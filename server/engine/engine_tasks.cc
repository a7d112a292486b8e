// The engine's methods about single tasks.
#include <algorithm>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/strings/str_cat.h"
#include "server/engine/engine_impl.h"
#include "server/engine/errors.h"
#include "server/engine/task_info.h"

namespace prefork::engine {
namespace {

constexpr int kMaxSignal = 64;

absl::Status NotTerminal(TaskId id, const char* what) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kTaskNotFinished,
                   absl::StrCat("task ", id, " is not finished; ", what), absl::StrCat(id));
}

absl::Status CheckSignal(int signal) {
  if (signal >= 1 && signal <= kMaxSignal) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidSignal,
                   absl::StrCat(signal, " is no signal; they go from 1 to ", kMaxSignal));
}

}  // namespace

absl::StatusOr<TaskSlot> EngineImpl::FindTask(const Caller& caller, TaskId id) const {
  const TaskSlot slot = core_.tasks.Find(id);
  if (slot != kNone && MaySee(caller, core_.tasks.at(slot).uid)) return slot;
  return MakeError(absl::StatusCode::kNotFound, reason::kTaskNotFound,
                   absl::StrCat("no task ", id,
                                " is known; finished tasks are forgotten when their time to live "
                                "is over"),
                   absl::StrCat(id));
}

absl::StatusOr<std::pair<TaskId, bool>> EngineImpl::Submit(const Caller& caller,
                                                           TaskSubmission task) {
  admission_.ForgetOptions();
  const absl::StatusOr<Admission::Accepted> accepted = admission_.Submit(
      caller.uid, core_.clients.ForCalls(caller.uid), /*session=*/nullptr, std::move(task));
  if (!accepted.ok()) return accepted.status();
  return std::make_pair(core_.tasks.at(accepted->slot).id, accepted->existing);
}

bool EngineImpl::EvictSegments(size_t size_bytes) {
  admission_.ForgetOptions();  // a predecessor may be among the evicted
  return life_.EvictSegments(size_bytes);
}

absl::StatusOr<TaskInfo> EngineImpl::Get(const Caller& caller, TaskId id) const {
  const absl::StatusOr<TaskSlot> slot = FindTask(caller, id);
  if (!slot.ok()) return slot.status();
  return Describe(*slot);
}

// The start of a task among tiny ones is not announced; its claim word tells who looks.
TaskInfo EngineImpl::Describe(TaskSlot slot) const {
  TaskInfo info = MakeTaskInfo(core_, slot);
  if (info.state == scheduler::TaskState::kDispatched && workers_.IsRunning(slot)) {
    info.state = scheduler::TaskState::kRunning;
  }
  return info;
}

void EngineImpl::ForEachMatch(const Caller& caller, const TaskFilter& filter, TaskId cursor,
                              bool backwards,
                              const std::function<bool(TaskSlot, const TaskRecord&)>& visit) const {
  const auto look = [&](TaskSlot slot, const TaskRecord& task) {
    return !MaySee(caller, task.uid) || !Matches(filter, task) || visit(slot, task);
  };
  if (filter.ids.empty()) return core_.tasks.Walk(cursor, backwards, look);
  absl::btree_set<TaskId> ids(filter.ids.begin(), filter.ids.end());
  std::vector<TaskId> order(ids.begin(), ids.end());
  if (backwards) std::reverse(order.begin(), order.end());
  for (const TaskId id : order) {
    if (cursor != 0 && (backwards ? id >= cursor : id <= cursor)) continue;
    const TaskSlot slot = core_.tasks.Find(id);
    if (slot != kNone && !look(slot, core_.tasks.at(slot))) return;
  }
}

std::vector<TaskInfo> EngineImpl::List(const Caller& caller, const TaskFilter& filter,
                                       TaskId cursor, bool newest_first, size_t limit,
                                       TaskId* next) const {
  std::vector<TaskInfo> tasks;
  *next = 0;
  ForEachMatch(caller, filter, cursor, newest_first, [&](TaskSlot slot, const TaskRecord&) {
    if (tasks.size() == limit) {
      *next = tasks.empty() ? 0 : tasks.back().id;
      return false;
    }
    tasks.push_back(Describe(slot));
    return true;
  });
  return tasks;
}

absl::StatusOr<uint64_t> EngineImpl::WhenTerminal(const Caller& caller, TaskId id,
                                                  std::function<void(const TaskInfo&)> done) {
  const absl::StatusOr<TaskSlot> slot = FindTask(caller, id);
  if (!slot.ok()) return slot.status();
  TaskRecord& record = core_.tasks.at(*slot);
  if (scheduler::IsTerminal(record.state)) {
    done(MakeTaskInfo(core_, *slot));
    return 0;
  }
  record.has_waiters = true;
  return core_.waiters.Add(*slot, std::move(done));
}

void EngineImpl::CancelWait(uint64_t wait_id) { core_.waiters.Cancel(wait_id); }

absl::Status EngineImpl::Cancel(const Caller& caller, TaskId id, bool force) {
  const absl::StatusOr<TaskSlot> slot = FindTask(caller, id);
  if (!slot.ok()) return slot.status();
  core_.scheduler.Cancel(*slot, scheduler::EndCause::kCancelledByClient, force, core_.now_ns);
  return absl::OkStatus();
}

absl::Status EngineImpl::SignalTask(const Caller& caller, TaskId id, int signal) {
  if (absl::Status status = CheckSignal(signal); !status.ok()) return status;
  const absl::StatusOr<TaskSlot> slot = FindTask(caller, id);
  if (!slot.ok()) return slot.status();
  return workers_.SignalTask(*slot, signal);
}

absl::StatusOr<TaskId> EngineImpl::Retry(const Caller& caller, TaskId id) {
  const absl::StatusOr<TaskSlot> slot = FindTask(caller, id);
  if (!slot.ok()) return slot.status();
  const TaskRecord& record = core_.tasks.at(*slot);
  if (!scheduler::IsTerminal(record.state)) return NotTerminal(id, "cancel it or wait for its end");
  if (record.payload.given_back()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kPayloadNotKept,
                     absl::StrCat("task ", id,
                                  " had its payload in a segment of its client, which "
                                  "has it back; submit it once more"),
                     absl::StrCat(id));
  }
  TaskSubmission again;
  again.options = record.options;
  again.payload = record.payload;
  if (!record.options->after.empty()) {
    // Predecessors that were forgotten meanwhile are behind us.
    auto options = std::make_shared<TaskOptions>(*record.options);
    std::erase_if(options->after,
                  [this](TaskId before) { return core_.tasks.Find(before) == kNone; });
    again.options = std::move(options);
  }
  admission_.ForgetOptions();
  const absl::StatusOr<Admission::Accepted> accepted =
      admission_.Submit(caller.uid, core_.clients.ForCalls(caller.uid), /*session=*/nullptr,
                        std::move(again), /*encoded=*/true);
  if (!accepted.ok()) return accepted.status();
  return core_.tasks.at(accepted->slot).id;
}

absl::StatusOr<size_t> EngineImpl::Delete(const Caller& caller, const TaskFilter& filter) {
  for (const TaskId id : filter.ids) {
    const absl::StatusOr<TaskSlot> slot = FindTask(caller, id);
    if (!slot.ok()) return slot.status();
    const TaskRecord& record = core_.tasks.at(*slot);
    if (!scheduler::IsTerminal(record.state)) return NotTerminal(id, "cancel it first");
    if (!record.kept_by_ttl) return NotTerminal(id, "its session has not got its result yet");
  }
  std::vector<TaskSlot> slots;
  ForEachMatch(caller, filter, 0, false, [&](TaskSlot slot, const TaskRecord& task) {
    if (task.kept_by_ttl) slots.push_back(slot);
    return true;
  });
  for (const TaskSlot slot : slots) {
    core_.finished.Remove(slot);
    life_.Forget(slot);
  }
  return slots.size();
}

absl::StatusOr<std::vector<Engine::OutputChunk>> EngineImpl::ReadOutput(const Caller& caller,
                                                                        TaskId id,
                                                                        OutputStream stream,
                                                                        uint64_t offset) const {
  const absl::StatusOr<TaskSlot> slot = FindTask(caller, id);
  if (!slot.ok()) return slot.status();
  std::vector<OutputChunk> chunks;
  const TaskRecord& record = core_.tasks.at(*slot);
  if (!record.detail) return chunks;
  const auto& buffer = record.detail->output[stream == OutputStream::kStdout ? 0 : 1];
  if (!buffer) return chunks;
  for (OutputBuffer::Piece& piece : buffer->Read(offset)) {
    chunks.push_back({stream, piece.offset, std::move(piece.data)});
  }
  return chunks;
}

absl::StatusOr<WorkerInfo> EngineImpl::SignalWorker(const Caller& caller,
                                                    const std::string& pool_name, uint32_t index,
                                                    uint32_t generation, int signal) {
  if (absl::Status status = CheckPrivileged(caller, "signal workers"); !status.ok()) return status;
  if (absl::Status status = CheckSignal(signal); !status.ok()) return status;
  const absl::StatusOr<PoolInfo> known = GetPool(pool_name);
  if (!known.ok()) return known.status();
  const PoolEntry& pool = *pools_.Find(pool_name);
  const std::string name = absl::StrCat(pool_name, "/", index);
  const pool::Worker* other = nullptr;
  for (pool::Worker* const worker : pool.pool->workers()) {
    if (worker->index() != index) continue;
    other = worker;
    if (generation != 0 && worker->generation() != generation) continue;
    WorkerLink* const link = workers_.Find(worker->tag());
    if (link == nullptr) continue;
    if (absl::Status sent = workers_.Signal(*link, signal, /*include_worker=*/true); !sent.ok()) {
      return sent;
    }
    return workers_.Describe(pool, *worker, /*with_usage=*/true);
  }
  if (other != nullptr) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kWrongGeneration,
                     absl::StrCat("worker ", name, " generation ", generation,
                                  " is gone; generation ", other->generation(), " is in its slot"),
                     name);
  }
  return MakeError(absl::StatusCode::kNotFound, reason::kWorkerNotFound,
                   absl::StrCat("no worker ", name, " is running; list them with: prefork workers"),
                   name);
}

}  // namespace prefork::engine
