#include "tests/server/rpc/fake_engine.h"

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/os/check.h"
#include "server/engine/errors.h"

namespace prefork::rpc {

using engine::Caller;
using engine::EventRecord;
using engine::SessionId;
using engine::TaskId;

FakeEngine::FakeEngine() {
  auto loop = os::EventLoop::Create(os::Clock::System());
  PREFORK_CHECK(loop.ok());
  loop_ = *std::move(loop);
  segments_ = shm::SegmentPool::Create({});
  thread_ = std::thread([this] { loop_->Run(); });
}

FakeEngine::~FakeEngine() { Stop(); }

void FakeEngine::Stop() {
  if (!thread_.joinable()) return;
  loop_->Stop();
  thread_.join();
}

void FakeEngine::Post(absl::AnyInvocable<void()> work) { loop_->Post(std::move(work)); }

void FakeEngine::RunOnThread(const std::function<void()>& work) {
  absl::Notification done;
  Post([&] {
    work();
    done.Notify();
  });
  done.WaitForNotification();
}

absl::StatusOr<engine::Bytes> FakeEngine::Pack(std::string bytes, uint32_t owner_uid) {
  if (bytes.size() <= engine_options.inline_threshold_bytes) return engine::Bytes(std::move(bytes));
  auto segment = segments_->Lease(bytes.size(), owner_uid);
  if (!segment.ok()) return segment.status();
  std::memcpy((*segment)->bytes().data(), bytes.data(), bytes.size());
  return engine::Bytes(*std::move(segment), bytes.size());
}

FakeEngine::Task& FakeEngine::Add(engine::TaskSubmission submission, const Caller& caller) {
  Task& task = tasks[++last_id_];
  task.info.id = last_id_;
  task.info.options = std::move(submission.options);
  task.info.request_id = std::move(submission.request_id);
  task.info.payload_bytes = submission.payload.size();
  task.info.submitted_at = absl::Now();
  task.info.started_at = task.info.finished_at = absl::InfinitePast();
  task.info.uid = caller.uid;
  task.payload = std::move(submission.payload);
  task.tag = submission.tag;
  return task;
}

void FakeEngine::Finish(TaskId id, scheduler::TaskState state, std::string value) {
  Task& task = tasks.at(id);
  task.info.state = state;
  task.info.value = *Pack(std::move(value), 0);
  task.info.finished_at = absl::Now();
  EventRecord event;
  event.kind = EventRecord::Kind::kFinished;
  event.task = id;
  event.state = state;
  for (auto& [session_id, session] : sessions) {
    const bool watches = session.watch.tasks;
    if (session_id != task.session && !watches) continue;
    session.held.push_back([&task, event, sink = session.sink, tag = watches ? 0 : task.tag] {
      sink->AddFinished(tag, event, task.info.value, task.info.value_content_type, task.info.error,
                        nullptr, nullptr);
    });
    touched_.insert(session_id);
  }
  for (auto wait = waits_.begin(); wait != waits_.end();) {
    if (wait->second.first != id) {
      ++wait;
      continue;
    }
    auto done = std::move(wait->second.second);
    wait = waits_.erase(wait);
    done(task.info);
  }
}

void FakeEngine::AppendOutput(TaskId id, engine::OutputStream stream, const std::string& bytes) {
  tasks.at(id).output[stream] += bytes;
  EventRecord event;
  event.kind = EventRecord::Kind::kOutput;
  event.task = id;
  event.stream = stream;
  event.data = std::make_shared<const std::string>(bytes);
  for (auto& [session_id, session] : sessions) {
    if (!session.watch.output) continue;
    session.sink->AddEvent(0, event);
    touched_.insert(session_id);
  }
}

void FakeEngine::FlushSinks() {
  for (auto it = touched_.begin(); it != touched_.end();) {
    Session& session = sessions.at(*it);
    if (session.flushed) session.writable = session.sink->TakesMore();
    if (!session.writable) {
      ++it;
      continue;
    }
    session.flushed = false;
    it = touched_.erase(it);
    auto& held = session.held;
    size_t given = 0;
    while (given < held.size() && session.sink->wants_events()) held[given++]();
    held.erase(held.begin(), held.begin() + given);
    // As the true one: a sink that has nothing is not flushed.
    if (session.sink->pending_bytes() == 0) continue;
    session.flushed = true;
    session.sink->Flush();
  }
}

SessionId FakeEngine::OpenSession(const engine::SessionOptions& options, engine::EventSink* sink) {
  Note(absl::StrCat("OpenSession ", options.client_name));
  sessions[++last_id_] = {.options = options, .watch = {}, .sink = sink};
  return last_id_;
}

absl::StatusOr<SessionId> FakeEngine::OpenWatch(const engine::WatchOptions& options,
                                                engine::EventSink* sink) {
  Note("OpenWatch");
  sessions[++last_id_] = {.options = {}, .watch = options, .sink = sink};
  return last_id_;
}

void FakeEngine::CloseSession(SessionId session) {
  Note("CloseSession");
  sessions.erase(session);
  touched_.erase(session);
}

void FakeEngine::SubmitBatch(SessionId session, std::vector<engine::TaskSubmission> batch) {
  Session& owner = sessions.at(session);
  std::vector<TaskId> ids;
  std::shared_ptr<const engine::TaskOptions> options;
  for (engine::TaskSubmission& submission : batch) {
    if (submission.options == nullptr) submission.options = options;
    options = submission.options;
    if (!refuse_submits.ok()) {
      owner.sink->AddRejected(submission.tag, refuse_submits);
      continue;
    }
    Task& task = Add(std::move(submission), owner.options.caller);
    task.session = session;
    owner.sink->AddAccepted(task.tag, task.info.id, 1);
    ids.push_back(task.info.id);
  }
  touched_.insert(session);
  if (answer) {
    for (const TaskId id : ids) {
      Finish(id, scheduler::TaskState::kSucceeded, answer(tasks.at(id)));
    }
  }
  FlushSinks();
}

void FakeEngine::RejectBatch(SessionId session, const std::vector<engine::Rejection>& rejected) {
  Note(absl::StrCat("RejectBatch ", rejected.size()));
  for (const engine::Rejection& rejection : rejected) {
    sessions.at(session).sink->AddRejected(rejection.tag, rejection.why);
  }
  touched_.insert(session);
  FlushSinks();
}

void FakeEngine::CancelTags(SessionId session, const std::vector<uint64_t>& tags, bool force) {
  for (const uint64_t tag : tags) {
    Note(absl::StrCat("CancelTag ", tag, force ? " force" : ""));
    for (auto& [id, task] : tasks) {
      if (task.session == session && task.tag == tag) {
        Finish(id, scheduler::TaskState::kCancelled, "");
      }
    }
  }
  FlushSinks();
}

void FakeEngine::SinkWritable(SessionId session) {
  const auto found = sessions.find(session);
  if (found == sessions.end()) return;
  found->second.flushed = false;
  found->second.writable = true;
  touched_.insert(session);
  FlushSinks();
}

absl::StatusOr<std::pair<TaskId, bool>> FakeEngine::Submit(const Caller& caller,
                                                           engine::TaskSubmission submission) {
  if (!refuse_submits.ok()) return refuse_submits;
  const Task& task = Add(std::move(submission), caller);
  const TaskId id = task.info.id;
  if (answer) Finish(id, scheduler::TaskState::kSucceeded, answer(task));
  return std::make_pair(id, false);
}

bool FakeEngine::EvictSegments(size_t size_bytes) {
  calls.push_back(absl::StrCat("EvictSegments ", size_bytes));
  return false;
}

absl::StatusOr<engine::TaskInfo> FakeEngine::Get(const Caller&, TaskId id) const {
  const auto found = tasks.find(id);
  if (found == tasks.end()) {
    return engine::MakeError(absl::StatusCode::kNotFound, engine::reason::kTaskNotFound,
                             absl::StrCat("no task ", id, " is known"), absl::StrCat(id));
  }
  return found->second.info;
}

std::vector<engine::TaskInfo> FakeEngine::List(const Caller&, const engine::TaskFilter&,
                                               TaskId cursor, bool, size_t limit,
                                               TaskId* next) const {
  std::vector<engine::TaskInfo> page;
  *next = 0;
  for (auto it = tasks.upper_bound(cursor); it != tasks.end(); ++it) {
    if (page.size() == limit) {
      *next = page.back().id;
      break;
    }
    page.push_back(it->second.info);
  }
  return page;
}

absl::StatusOr<uint64_t> FakeEngine::WhenTerminal(
    const Caller& caller, TaskId id, std::function<void(const engine::TaskInfo&)> done) {
  const absl::StatusOr<engine::TaskInfo> info = Get(caller, id);
  if (!info.ok()) return info.status();
  if (scheduler::IsTerminal(info->state)) {
    done(*info);
    return 0;
  }
  waits_[++last_id_] = {id, std::move(done)};
  Note(absl::StrCat("Wait ", id));
  return last_id_;
}

void FakeEngine::CancelWait(uint64_t wait_id) {
  Note("CancelWait");
  waits_.erase(wait_id);
}

absl::Status FakeEngine::Cancel(const Caller& caller, TaskId id, bool force) {
  const absl::StatusOr<engine::TaskInfo> info = Get(caller, id);
  if (!info.ok()) return info.status();
  Note(absl::StrCat("Cancel ", id, force ? " force" : ""));
  if (!scheduler::IsTerminal(info->state)) Finish(id, scheduler::TaskState::kCancelled, "");
  return absl::OkStatus();
}

absl::Status FakeEngine::SignalTask(const Caller& caller, TaskId id, int signal) {
  Note(absl::StrCat("SignalTask ", id, " ", signal));
  return Get(caller, id).status();
}

absl::StatusOr<TaskId> FakeEngine::Retry(const Caller& caller, TaskId id) {
  const absl::StatusOr<engine::TaskInfo> info = Get(caller, id);
  if (!info.ok()) return info.status();
  return Add({.tag = 0, .options = info->options, .request_id = "", .payload = {}}, caller).info.id;
}

absl::StatusOr<size_t> FakeEngine::Delete(const Caller&, const engine::TaskFilter& filter) {
  size_t deleted = 0;
  for (const TaskId id : filter.ids) deleted += tasks.erase(id);
  return deleted;
}

absl::StatusOr<std::vector<engine::Engine::OutputChunk>> FakeEngine::ReadOutput(
    const Caller&, TaskId id, engine::OutputStream stream, uint64_t offset) const {
  std::vector<OutputChunk> chunks;
  const auto& output = tasks.at(id).output;
  const auto found = output.find(stream);
  if (found != output.end() && offset < found->second.size()) {
    chunks.push_back({stream, offset, found->second.substr(offset)});
  }
  return chunks;
}

absl::StatusOr<engine::PoolInfo> FakeEngine::CreatePool(const Caller&, const pool::PoolSpec& spec) {
  engine::PoolInfo info;
  info.spec = spec;
  return info;
}

absl::StatusOr<engine::PoolInfo> FakeEngine::GetPool(const std::string& name) const {
  return engine::MakeError(absl::StatusCode::kNotFound, engine::reason::kPoolNotFound,
                           absl::StrCat("no pool '", name, "'"), name);
}

engine::OrderId FakeEngine::ScalePool(const Caller&, const std::string& name, uint32_t size,
                                      PoolDone done) {
  Note(absl::StrCat("ScalePool ", name, " ", size));
  engine::PoolInfo info;
  info.spec.name = name;
  info.spec.size = size;
  done(info);
  return 0;
}
engine::OrderId FakeEngine::PausePool(const Caller&, const std::string& name, bool, PoolDone done) {
  done(GetPool(name));
  return 0;
}
engine::OrderId FakeEngine::DrainPool(const Caller&, const std::string&, PoolDone) {
  return kDrainOrder;
}
engine::OrderId FakeEngine::ReloadPool(const Caller&, const std::string& name, PoolDone done) {
  done(GetPool(name));
  return 0;
}
engine::OrderId FakeEngine::DeletePool(const Caller&, const std::string& name, bool,
                                       PoolDone done) {
  done(GetPool(name));
  return 0;
}

void FakeEngine::CancelOrder(engine::OrderId order) { Note(absl::StrCat("CancelOrder ", order)); }

std::vector<engine::WorkerInfo> FakeEngine::ListWorkers(const std::string&) const { return {}; }

absl::StatusOr<engine::WorkerInfo> FakeEngine::SignalWorker(const Caller&, const std::string& pool,
                                                            uint32_t, uint32_t, int) {
  return GetPool(pool).status();
}

std::vector<engine::FunctionInfo> FakeEngine::ListFunctions(const std::string&) const { return {}; }

void FakeEngine::Drain(absl::Duration, std::function<void()> done) {
  auto closing = sessions;
  for (auto& [id, session] : closing) {
    session.sink->Close(engine::MakeError(absl::StatusCode::kUnavailable, engine::reason::kShutdown,
                                          "the daemon is shutting down"));
  }
  done();
}

void FakeEngine::SetReadinessListener(
    std::function<void(const std::vector<engine::PoolInfo>&)> changed) {
  changed({});
}

}  // namespace prefork::rpc
