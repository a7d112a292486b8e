// The engine's methods about sessions and watches.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/engine_impl.h"
#include "server/engine/errors.h"
#include "server/engine/task_check.h"

namespace prefork::engine {

SessionId EngineImpl::OpenSession(const SessionOptions& options, EventSink* sink) {
  const scheduler::ClientKey client =
      core_.clients.OpenSession(options.caller.uid, options.client_name);
  Session& session = core_.sessions.Open(
      options, client, sink, &core_.tasks,
      {core_.options.max_session_unfinished, core_.options.max_session_undelivered_bytes});
  if (options.caller.pid > 0) lending_.NoteSession(session.id(), options.caller.pid);
  for (uint64_t tag = 0; tag < options.resume.size(); ++tag) {
    const absl::StatusOr<TaskSlot> slot = FindTask(options.caller, options.resume[tag]);
    if (slot.ok() && core_.tasks.at(*slot).session != session.index()) {
      session.AddAccepted(tag, core_.tasks.at(*slot).id);
      Adopt(session, *slot, tag);
    } else {
      session.AddRejected(
          tag, slot.ok() ? MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidTask,
                                     absl::StrCat("task ", options.resume[tag], " is listed twice"))
                         : slot.status());
    }
  }
  core_.sessions.MarkDirty(session);
  return session.id();
}

// Hands a known task to the session: its remaining events, or its end, go there from now on. A live
// session that had it is told so, because it will not hear of the task again.
void EngineImpl::Adopt(Session& session, TaskSlot slot, uint64_t tag) {
  TaskRecord& record = core_.tasks.at(slot);
  if (Session* const former = core_.sessions.At(record.session); former != nullptr) {
    const uint64_t former_tag = record.tag;
    former->Detach(slot);
    former->AddRejected(former_tag,
                        MakeError(absl::StatusCode::kAborted, reason::kTakenOver,
                                  absl::StrCat("task ", record.id, " was taken over by session ",
                                               session.id(), ", which gets its events from now on"),
                                  absl::StrCat(record.id)));
    core_.sessions.MarkDirty(*former);
  }
  if (record.kept_by_ttl) core_.finished.Remove(slot);
  session.Attach(slot, tag);
  if (!scheduler::IsTerminal(record.state)) return;
  EventLog::Entry entry;
  entry.time_ns = record.finished_ns;
  entry.task = record.id;
  entry.attempt = record.attempt;
  entry.worker_index = record.worker_index;
  entry.worker_generation = record.worker_generation;
  entry.kind = EventRecord::Kind::kFinished;
  entry.state = record.state;
  entry.cause = record.cause;
  session.AddFinished(slot, core_.log.next_sequence() - 1, entry);
}

void EngineImpl::CloseSession(SessionId id) {
  Session* const session = core_.sessions.Find(id);
  if (session == nullptr) return core_.sessions.Close(id);  // a watch, or nothing
  while (session->first_task() != kNone) {
    const TaskSlot slot = session->first_task();
    const TaskRecord& record = core_.tasks.at(slot);
    session->Detach(slot);
    if (scheduler::IsTerminal(record.state)) {
      life_.Keep(slot);
    } else if (!record.outlives_session) {
      core_.scheduler.Cancel(slot, scheduler::EndCause::kClientGone, /*force=*/false, core_.now_ns);
    }
  }
  // What outlives the session may begin.
  core_.scheduler.HoldClient(session->client(), false, core_.now_ns);
  core_.clients.CloseSession(session->options().caller.uid, session->options().client_name);
  core_.sessions.Close(id);
}

bool EngineImpl::UpdateHolds() {
  for (Session* const session : core_.sessions.TakeOverfull()) {
    session->sink()->Close(
        MakeError(absl::StatusCode::kResourceExhausted, reason::kResultsUnread,
                  absl::StrCat("the session has ", session->undelivered_bytes(),
                               " bytes of results that its client does not read; read them as they "
                               "come, or submit less at a time"),
                  session->options().client_name));
  }
  if (!core_.sessions.TakeHoldsChanged()) return false;
  core_.sessions.ForEachHold([this](scheduler::ClientKey client, bool held) {
    core_.scheduler.HoldClient(client, held, core_.now_ns);
  });
  return true;
}

void EngineImpl::SubmitOne(Session& session, TaskSubmission task) {
  const uint64_t tag = task.tag;
  if (session.refuses_submits()) {
    return session.AddRejected(
        tag, MakeError(absl::StatusCode::kResourceExhausted, reason::kQueueFull,
                       "the session holds all the tasks and results it may, and has no credit for "
                       "events left; give credit before submitting more",
                       session.options().client_name));
  }
  const absl::StatusOr<Admission::Accepted> accepted =
      admission_.Submit(session.options().caller.uid, session.client(), &session, std::move(task));
  if (!accepted.ok()) return session.AddRejected(tag, accepted.status());
  if (!accepted->existing) return;
  const TaskRecord& record = core_.tasks.at(accepted->slot);
  if (record.session == session.index()) {
    return session.AddRejected(
        tag,
        MakeError(absl::StatusCode::kAlreadyExists, reason::kRequestIdReused,
                  absl::StrCat("request ID \"", record.detail->request_id,
                               "\" was submitted in this session already, with tag ", record.tag)));
  }
  session.AddAccepted(tag, record.id);
  Adopt(session, accepted->slot, tag);
}

void EngineImpl::SubmitBatch(SessionId id, std::vector<TaskSubmission> tasks) {
  Session* const session = core_.sessions.Find(id);
  if (session == nullptr) return;
  admission_.ForgetOptions();
  std::shared_ptr<const TaskOptions> options;
  for (TaskSubmission& task : tasks) {
    if (task.options == nullptr) {
      task.options = options;
    } else {
      options = task.options;
    }
    SubmitOne(*session, std::move(task));
  }
  session->UpdateReading();
  core_.sessions.MarkDirty(*session);
}

void EngineImpl::RejectBatch(SessionId id, const std::vector<Rejection>& rejected) {
  Session* const session = core_.sessions.Find(id);
  if (session == nullptr) return;
  for (const Rejection& rejection : rejected) session->AddRejected(rejection.tag, rejection.why);
  session->UpdateReading();
  core_.sessions.MarkDirty(*session);
}

void EngineImpl::CancelTags(SessionId id, const std::vector<uint64_t>& tags, bool force) {
  const Session* const session = core_.sessions.Find(id);
  if (session == nullptr) return;
  for (const uint64_t tag : tags) {
    const TaskSlot slot = session->FindTag(tag);
    if (slot == kNone) continue;
    core_.scheduler.Cancel(slot, scheduler::EndCause::kCancelledByClient, force, core_.now_ns);
  }
}

void EngineImpl::SinkWritable(SessionId id) {
  if (Session* const session = core_.sessions.Find(id); session != nullptr) {
    session->SetWritable();
    core_.sessions.MarkDirty(*session);
  } else if (Watch* const watch = core_.sessions.FindWatch(id); watch != nullptr) {
    watch->SetWritable();
  }
}

// One that waits for a pool that does not exist would wait in silence. A pool that is gone may still
// have events to be read again.
absl::Status EngineImpl::CheckWatchedPools(const WatchOptions& options) const {
  std::vector<std::string> names = options.pool_names;
  if (!options.task_filter.pool.empty()) names.push_back(options.task_filter.pool);
  for (const std::string& name : names) {
    const bool was_known =
        options.after_sequence != 0 &&
        std::find(core_.pool_names.begin(), core_.pool_names.end(), name) != core_.pool_names.end();
    if (pools_.Find(name) == nullptr && !was_known) return NoSuchPool(name, pools_);
  }
  return absl::OkStatus();
}

absl::StatusOr<SessionId> EngineImpl::OpenWatch(const WatchOptions& options, EventSink* sink) {
  if (absl::Status status = CheckWatchedPools(options); !status.ok()) return status;
  if (options.after_sequence != 0) {
    if (absl::Status status = core_.log.CheckResume(options.after_sequence); !status.ok()) {
      return status;
    }
  }
  Watch& watch =
      core_.sessions.OpenWatch(options, sink, &core_.log, &core_.tasks, &core_.pool_names);
  if (!options.snapshot) return watch.id();
  const auto wanted = [&options](const std::string& name) {
    return options.pool_names.empty() ||
           std::find(options.pool_names.begin(), options.pool_names.end(), name) !=
               options.pool_names.end();
  };
  for (const auto& [name, pool] : pools_) {
    if (!wanted(name)) continue;
    if (options.pools) watch.AddSnapshot(pool_manager_.DescribeEvent(*pool));
    if (!options.workers) continue;
    for (pool::Worker* const worker : pool->pool->workers()) {
      EventRecord event;
      event.kind = EventRecord::Kind::kWorker;
      event.time = TimeOf(core_.wall_ns);
      event.worker_index = worker->index();
      event.worker_generation = worker->generation();
      event.worker = std::make_shared<const WorkerInfo>(
          workers_.Describe(*pool, *worker, /*with_usage=*/true));
      event.task = event.worker->running_task;
      watch.AddSnapshot(std::move(event));
    }
  }
  return watch.id();
}

}  // namespace prefork::engine
