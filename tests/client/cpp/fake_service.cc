#include "tests/client/cpp/fake_service.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "absl/time/clock.h"

namespace prefork::client {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr size_t kInlineValueBytes = size_t{256} * 1024;
constexpr size_t kValueChunkBytes = 100'000;

v1::TaskResult Echo(const v1::TaskSpec& spec) {
  v1::TaskResult result;
  result.set_state(v1::TASK_STATE_SUCCEEDED);
  result.set_value(spec.payload());
  return result;
}

}  // namespace

FakeService::FakeService() : answer_(Echo) {
  std::string pattern = ::testing::TempDir() + "preforkXXXXXX";
  directory_ = mkdtemp(pattern.data());
  Start();
}

FakeService::~FakeService() {
  Stop();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void FakeService::Start() {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address(), grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
}

void FakeService::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
}

void FakeService::Answer(AnswerFunction answer) {
  absl::MutexLock lock(&mu_);
  answer_ = std::move(answer);
}
void FakeService::RejectWith(grpc::StatusCode code, const std::string& message) {
  absl::MutexLock lock(&mu_);
  rejection_ = grpc::Status(code, message);
}
void FakeService::RefuseSessions(grpc::StatusCode code, const std::string& message) {
  absl::MutexLock lock(&mu_);
  refusal_ = grpc::Status(code, message);
}
void FakeService::HoldTasks() {
  absl::MutexLock lock(&mu_);
  hold_ = true;
}
void FakeService::IgnoreSubmits(bool ignore) {
  absl::MutexLock lock(&mu_);
  ignore_ = ignore;
}
void FakeService::ForgetTasks() {
  absl::MutexLock lock(&mu_);
  tasks_.clear();
  held_.clear();
  by_request_id_.clear();
}
void FakeService::set_max_inline_bytes(uint64_t bytes) {
  absl::MutexLock lock(&mu_);
  max_inline_bytes_ = bytes;
}

void FakeService::ReleaseTasks() {
  absl::MutexLock lock(&mu_);
  hold_ = false;
  std::map<Stream*, v1::SessionResponse> responses;
  for (const auto& [id, task] : held_) {
    if (task.stream != nullptr) AddFinished(task, responses[task.stream].mutable_events());
  }
  held_.clear();
  for (const auto& [stream, response] : responses) {
    if (streams_.count(stream) != 0) stream->Write(response);
  }
}

void FakeService::TakeOverTasks() {
  absl::MutexLock lock(&mu_);
  for (const auto& [id, task] : held_) {
    if (task.stream == nullptr || streams_.count(task.stream) == 0) continue;
    v1::SessionResponse response;
    v1::TaskRejected* rejected = response.mutable_events()->add_rejected();
    rejected->set_tag(task.tag);
    rejected->mutable_status()->set_code(grpc::StatusCode::ABORTED);
    rejected->mutable_status()->set_message("taken over by session 2");
    task.stream->Write(response);
  }
  held_.clear();
}

void FakeService::SendEvent(uint64_t task_id, v1::TaskEvent event) {
  absl::MutexLock lock(&mu_);
  const auto held = held_.find(task_id);
  if (held == held_.end()) return;
  v1::SessionResponse response;
  event.set_task_id(task_id);
  event.set_tag(held->second.tag);
  *response.mutable_events()->add_events() = std::move(event);
  held->second.stream->Write(response);
}

void FakeService::BreakSessions() {
  absl::MutexLock lock(&mu_);
  for (const auto& [stream, context] : streams_) context->TryCancel();
}

bool FakeService::Await(const std::function<size_t()>& seen, size_t count) {
  absl::MutexLock lock(&mu_);
  const auto reached = [&] { return seen() >= count; };
  return mu_.AwaitWithTimeout(absl::Condition(&reached), kPatience);
}
bool FakeService::AwaitSubmitted(size_t count) {
  return Await([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return submitted_.size(); }, count);
}
bool FakeService::AwaitSessions(size_t count) {
  return Await([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return opens_.size(); }, count);
}
bool FakeService::AwaitCancelled(size_t count) {
  return Await([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return cancelled_.size(); }, count);
}

std::vector<FakeService::Submitted> FakeService::submitted() {
  absl::MutexLock lock(&mu_);
  return submitted_;
}
std::vector<size_t> FakeService::batch_sizes() {
  absl::MutexLock lock(&mu_);
  return batch_sizes_;
}
std::vector<v1::OpenSession> FakeService::opens() {
  absl::MutexLock lock(&mu_);
  return opens_;
}
std::vector<uint64_t> FakeService::cancelled_ids() {
  absl::MutexLock lock(&mu_);
  return cancelled_;
}
size_t FakeService::uploads() {
  absl::MutexLock lock(&mu_);
  return uploads_;
}

grpc::Status FakeService::Session(grpc::ServerContext* context, Stream* stream) {
  {
    absl::MutexLock lock(&mu_);
    if (!refusal_.ok()) return refusal_;
    streams_[stream] = context;
  }
  for (v1::SessionRequest request; stream->Read(&request);) {
    absl::MutexLock lock(&mu_);
    if (request.has_open()) Open(request.open(), stream);
    if (request.has_submit()) TakeSubmits(request.submit(), stream);
    if (request.has_cancel()) TakeCancels(request.cancel());
  }
  absl::MutexLock lock(&mu_);
  streams_.erase(stream);
  for (auto& [id, task] : held_) {
    if (task.stream == stream) task.stream = nullptr;
  }
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the test broke the session");
}

void FakeService::Open(const v1::OpenSession& open, Stream* stream) {
  opens_.push_back(open);
  v1::SessionResponse response;
  response.mutable_opened()->set_session_id(opens_.size());
  response.mutable_opened()->set_daemon_version("fake-1");
  response.mutable_opened()->set_max_inline_payload_bytes(max_inline_bytes_);
  stream->Write(response);
  v1::SessionResponse resumed;
  for (int i = 0; i < open.resume_task_ids_size(); ++i) {
    const uint64_t id = open.resume_task_ids(i);
    const auto tag = static_cast<uint64_t>(i);
    const auto held = held_.find(id);
    if (held != held_.end()) {
      held->second.stream = stream;
      held->second.tag = tag;
    } else if (tasks_.count(id) != 0) {
      AddFinished({stream, tag, id, tasks_[id]}, resumed.mutable_events());
    } else {
      v1::TaskRejected* rejected = resumed.mutable_events()->add_rejected();
      rejected->set_tag(tag);
      rejected->mutable_status()->set_code(grpc::StatusCode::NOT_FOUND);
      rejected->mutable_status()->set_message("no such task");
    }
  }
  if (resumed.has_events()) stream->Write(resumed);
}

void FakeService::TakeSubmits(const v1::SubmitBatch& batch, Stream* stream) {
  batch_sizes_.push_back(static_cast<size_t>(batch.items_size()));
  v1::SessionResponse response;
  v1::EventBatch* events = response.mutable_events();
  for (const v1::SubmitItem& item : batch.items()) {
    v1::TaskSpec spec = batch.defaults();
    spec.MergeFrom(item.spec());
    if (!item.payload().empty()) spec.set_payload(item.payload());
    const auto known = by_request_id_.find(spec.request_id());
    const bool again = !spec.request_id().empty() && known != by_request_id_.end();
    const uint64_t id = again ? known->second : next_task_id_++;
    submitted_.push_back({id, item.tag(), spec});
    if (!spec.request_id().empty()) by_request_id_[spec.request_id()] = id;
    tasks_[id] = spec;
    if (ignore_) continue;
    if (!rejection_.ok()) {
      v1::TaskRejected* rejected = events->add_rejected();
      rejected->set_tag(item.tag());
      rejected->mutable_status()->set_code(rejection_.error_code());
      rejected->mutable_status()->set_message(rejection_.error_message());
      continue;
    }
    v1::TaskAccepted* accepted = events->add_accepted();
    accepted->set_first_tag(item.tag());
    accepted->set_first_task_id(id);
    accepted->set_count(1);
    const Held task = {stream, item.tag(), id, std::move(spec)};
    if (hold_) {
      held_[id] = task;
    } else {
      AddFinished(task, events);
    }
  }
  stream->Write(response);
}

void FakeService::TakeCancels(const v1::CancelBatch& batch) {
  std::vector<uint64_t> ids(batch.task_ids().begin(), batch.task_ids().end());
  for (const uint64_t tag : batch.tags()) {
    for (const auto& [id, task] : held_) {
      if (task.tag == tag) ids.push_back(id);
    }
  }
  for (const uint64_t id : ids) {
    cancelled_.push_back(id);
    const auto held = held_.find(id);
    if (held == held_.end()) continue;
    v1::SessionResponse response;
    v1::TaskEvent* event = response.mutable_events()->add_events();
    event->set_task_id(id);
    event->set_tag(held->second.tag);
    event->mutable_finished()->set_state(v1::TASK_STATE_CANCELLED);
    event->mutable_finished()->mutable_exit_report()->set_cause(v1::END_CAUSE_CANCELLED_BY_CLIENT);
    held->second.stream->Write(response);
    held_.erase(held);
  }
}

void FakeService::AddFinished(const Held& task, v1::EventBatch* events) {
  v1::TaskEvent* event = events->add_events();
  event->set_task_id(task.task_id);
  event->set_tag(task.tag);
  v1::TaskResult* result = event->mutable_finished();
  *result = answer_(task.spec);
  result->set_value_bytes(result->value().size());
  if (result->value().size() > kInlineValueBytes) {
    values_[task.task_id] = std::move(*result->mutable_value());
    result->clear_value();
  }
}

grpc::Status FakeService::UploadTask(grpc::ServerContext* /*context*/,
                                     grpc::ServerReader<v1::UploadTaskRequest>* reader,
                                     v1::SubmitResponse* response) {
  v1::TaskSpec spec;
  for (v1::UploadTaskRequest part; reader->Read(&part);) {
    if (part.has_task()) spec = part.task();
    spec.mutable_payload()->append(part.chunk());
  }
  absl::MutexLock lock(&mu_);
  ++uploads_;
  response->set_task_id(next_task_id_++);
  tasks_[response->task_id()] = spec;
  submitted_.push_back({response->task_id(), 0, std::move(spec)});
  return grpc::Status::OK;
}

grpc::Status FakeService::Wait(grpc::ServerContext* /*context*/, const v1::WaitTaskRequest* request,
                               v1::Task* response) {
  absl::MutexLock lock(&mu_);
  const auto task = tasks_.find(request->task_id());
  if (task == tasks_.end()) return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such task");
  v1::EventBatch events;
  AddFinished({nullptr, 0, task->first, task->second}, &events);
  response->set_task_id(task->first);
  *response->mutable_result() = events.events(0).finished();
  response->set_state(response->result().state());
  return grpc::Status::OK;
}

grpc::Status FakeService::ReadValue(grpc::ServerContext* /*context*/,
                                    const v1::ReadValueRequest* request,
                                    grpc::ServerWriter<v1::ValueChunk>* writer) {
  absl::MutexLock lock(&mu_);
  const std::string& value = values_[request->task_id()];
  for (size_t start = 0; start < value.size(); start += kValueChunkBytes) {
    v1::ValueChunk chunk;
    chunk.set_offset(start);
    chunk.set_data(value.substr(start, kValueChunkBytes));
    chunk.set_total_bytes(value.size());
    if (!writer->Write(chunk)) break;
  }
  return grpc::Status::OK;
}

}  // namespace prefork::client
