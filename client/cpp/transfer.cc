// Calls for payloads and values that are too large for a session's messages. Each is a small state
// machine with one outstanding operation, whose tag is the object itself. Completions run on the
// driving thread as soon as an operation is started, so starting one is the last thing a step does.
//
//   Upload: start -> write spec -> write chunks ... -> writes done -> finish
//   Follow: start + finish; again after a pause while the daemon can't be reached
//   Fetch:  start -> read chunks ... -> finish
//
// An uploaded task is kept by the daemon whatever happens to the client, so Follow may ask as often
// as it needs to. A broken Upload is not repeated: whether the daemon has the task is unknown.
#include "client/cpp/transfer.h"

#include <grpcpp/alarm.h>
#include <grpcpp/client_context.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/convert.h"
#include "client/cpp/grpc_status.h"
#include "prefork/v1/task_service.grpc.pb.h"

namespace prefork::client::internal {
namespace {

constexpr size_t kUploadChunkBytes = size_t{1} << 20;
constexpr absl::Duration kFirstPause = absl::Milliseconds(20);
constexpr absl::Duration kLongestPause = absl::Seconds(1);

class Upload final : public Transfer {
 public:
  Upload(TransferContext context, v1::TaskSpec spec, std::string payload)
      : context_(std::move(context)),
        stub_(v1::TaskService::NewStub(context_.channel)),
        spec_(std::move(spec)),
        payload_(std::move(payload)) {}

  void Start() override {
    writer_ = stub_->PrepareAsyncUploadTask(&call_, &response_, context_.queue);
    writer_->StartCall(this);
  }
  void Abort() override { call_.TryCancel(); }

  void Complete(bool ok) override {
    if (step_ == Step::kFinishing) return End();
    if (!ok) {  // the daemon has ended the call; Finish says why
      step_ = Step::kFinishing;
      writer_->Finish(&status_, this);
      return;
    }
    v1::UploadTaskRequest request;
    switch (step_) {
      case Step::kStarting:
        step_ = Step::kWriting;
        *request.mutable_task() = spec_;
        request.set_payload_bytes(payload_.size());
        writer_->Write(request, this);
        return;
      case Step::kWriting:
        if (sent_ < payload_.size()) {
          request.set_chunk(payload_.substr(sent_, kUploadChunkBytes));
          sent_ += request.chunk().size();
          writer_->Write(request, this);
        } else {
          step_ = Step::kClosing;
          writer_->WritesDone(this);
        }
        return;
      case Step::kClosing:
      case Step::kFinishing:
        step_ = Step::kFinishing;
        writer_->Finish(&status_, this);
        return;
    }
  }

 private:
  enum class Step { kStarting, kWriting, kClosing, kFinishing };

  void End() {
    if (status_.ok()) {
      context_.owner->UploadAccepted(context_.record, response_.task_id());
    } else {
      context_.owner->TransferDone(context_.record, FromGrpc(status_, context_.address));
    }
    context_.owner->TransferEnded(this);
  }

  TransferContext context_;
  std::unique_ptr<v1::TaskService::Stub> stub_;
  grpc::ClientContext call_;
  const v1::TaskSpec spec_;
  const std::string payload_;
  size_t sent_ = 0;
  Step step_ = Step::kStarting;
  v1::SubmitResponse response_;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncWriter<v1::UploadTaskRequest>> writer_;
};

class Fetch final : public Transfer {
 public:
  Fetch(TransferContext context, uint64_t task_id, TaskResult result)
      : context_(std::move(context)),
        stub_(v1::TaskService::NewStub(context_.channel)),
        result_(std::move(result)) {
    request_.set_task_id(task_id);
    result_.value.clear();
  }

  void Start() override {
    reader_ = stub_->PrepareAsyncReadValue(&call_, request_, context_.queue);
    reader_->StartCall(this);
  }
  void Abort() override { call_.TryCancel(); }

  void Complete(bool ok) override {
    if (finishing_) return End();
    if (!ok) {
      finishing_ = true;
      reader_->Finish(&status_, this);
      return;
    }
    result_.value.append(chunk_.data());
    chunk_.Clear();
    reader_->Read(&chunk_, this);
  }

 private:
  void End() {
    if (status_.ok()) {
      context_.owner->TransferDone(context_.record, std::move(result_));
    } else {
      context_.owner->TransferDone(context_.record, FromGrpc(status_, context_.address));
    }
    context_.owner->TransferEnded(this);
  }

  TransferContext context_;
  std::unique_ptr<v1::TaskService::Stub> stub_;
  grpc::ClientContext call_;
  v1::ReadValueRequest request_;
  TaskResult result_;
  v1::ValueChunk chunk_;
  bool finishing_ = false;
  grpc::Status status_;
  std::unique_ptr<grpc::ClientAsyncReader<v1::ValueChunk>> reader_;
};

class Follow final : public Transfer {
 public:
  Follow(TransferContext context, uint64_t task_id)
      : context_(std::move(context)), stub_(v1::TaskService::NewStub(context_.channel)) {
    request_.set_task_id(task_id);
  }

  void Start() override { Ask(); }
  void Abort() override {
    aborted_ = true;
    const std::shared_ptr<grpc::ClientContext> call = std::atomic_load(&call_);
    if (call != nullptr) call->TryCancel();
    pause_.Cancel();
  }

  void Complete(bool ok) override {
    if (pausing_) {
      pausing_ = false;
      if (ok && !aborted_ && context_.owner->TransferStillWanted(context_.record)) return Ask();
      return context_.owner->TransferEnded(this);
    }
    if (status_.error_code() == grpc::StatusCode::UNAVAILABLE && !aborted_ &&
        context_.owner->TransferStillWanted(context_.record)) {
      return Pause();
    }
    if (!status_.ok()) {
      context_.owner->TransferDone(context_.record, FromGrpc(status_, context_.address));
    } else if (!IsTerminal(static_cast<TaskState>(task_.state()))) {
      return Ask();
    } else {
      Settle();
    }
    context_.owner->TransferEnded(this);
  }

 private:
  void Ask() {
    auto call = std::make_shared<grpc::ClientContext>();
    std::atomic_store(&call_, call);
    if (aborted_) call->TryCancel();
    reader_ = stub_->AsyncWait(call.get(), request_, context_.queue);
    reader_->Finish(&task_, &status_, this);
  }

  void Pause() {
    pausing_ = true;
    pause_.Set(context_.queue, absl::ToChronoTime(absl::Now() + next_pause_), this);
    next_pause_ = std::min(next_pause_ * 2, kLongestPause);
  }

  void Settle() {
    const uint64_t value_bytes = task_.result().value_bytes();
    TaskResult result = FromProto(std::move(*task_.mutable_result()));
    if (result.ok() && value_bytes > result.value.size()) {
      context_.owner->FetchValue(context_.record, request_.task_id(), std::move(result));
    } else {
      context_.owner->TransferDone(context_.record, std::move(result));
    }
  }

  TransferContext context_;
  std::unique_ptr<v1::TaskService::Stub> stub_;
  v1::WaitTaskRequest request_;
  std::shared_ptr<grpc::ClientContext> call_;  // replaced by the driver while Abort may look
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::Task>> reader_;
  v1::Task task_;
  grpc::Status status_;
  grpc::Alarm pause_;
  absl::Duration next_pause_ = kFirstPause;
  bool pausing_ = false;
  std::atomic<bool> aborted_{false};
};

}  // namespace

std::unique_ptr<Transfer> MakeUpload(TransferContext context, v1::TaskSpec spec,
                                     std::string payload) {
  return std::make_unique<Upload>(std::move(context), std::move(spec), std::move(payload));
}

std::unique_ptr<Transfer> MakeFollow(TransferContext context, uint64_t task_id) {
  return std::make_unique<Follow>(std::move(context), task_id);
}

std::unique_ptr<Transfer> MakeFetch(TransferContext context, uint64_t task_id, TaskResult result) {
  return std::make_unique<Fetch>(std::move(context), task_id, std::move(result));
}

}  // namespace prefork::client::internal
