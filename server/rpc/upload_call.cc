#include "server/rpc/upload_call.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/rpc/field_violations.h"
#include "server/rpc/message_io.h"
#include "server/rpc/peer_registry.h"
#include "server/rpc/status_mapping.h"
#include "server/rpc/task_from_proto.h"

namespace prefork::rpc {

grpc::ServerReadReactor<grpc::ByteBuffer>* UploadCall::Begin(const RpcContext& rpc,
                                                             grpc::CallbackServerContext* context,
                                                             grpc::ByteBuffer* response) {
  const absl::StatusOr<engine::Caller> caller = rpc.peers->Find(context->peer());
  auto call = std::make_shared<UploadCall>(rpc, caller.value_or(engine::Caller()), response);
  call->self_ = call;
  if (caller.ok()) {
    call->idle_timer_ = IdleTimer::Start(
        rpc.upload_idle_timeout,
        [call = std::weak_ptr<UploadCall>(call), timeout = rpc.upload_idle_timeout] {
          if (const auto idle = call.lock()) {
            idle->Fail(absl::DeadlineExceededError(
                absl::StrCat("nothing of the upload came for ", absl::FormatDuration(timeout))));
          }
        });
    call->StartRead(&call->inbound_);
  } else {
    call->Fail(caller.status());
  }
  return call.get();
}

void UploadCall::OnReadDone(bool ok) {
  if (!ok) {
    Submit();
    return;
  }
  idle_timer_->Touch();
  const absl::Status taken = TakeMessage();
  if (taken.ok()) {
    StartRead(&inbound_);
  } else {
    Fail(taken);
  }
}

absl::Status UploadCall::TakeMessage() {
  absl::Status parsed = ParseMessage(inbound_, &request_);
  if (!parsed.ok()) return parsed;
  FieldViolations violations;
  switch (request_.part_case()) {
    case v1::UploadTaskRequest::kTask:
      if (!payload_.has_value()) return TakeSpec(request_.mutable_task(), request_.payload_bytes());
      violations.Add("task", "comes once, in the first message");
      return violations.ToStatus();
    case v1::UploadTaskRequest::kChunk:
      if (payload_.has_value()) return payload_->Append(request_.chunk());
      [[fallthrough]];
    case v1::UploadTaskRequest::PART_NOT_SET:
      break;
  }
  violations.Add("task", "is missing: the first message has the task, all others a chunk");
  return violations.ToStatus();
}

absl::Status UploadCall::TakeSpec(v1::TaskSpec* spec, uint64_t payload_bytes) {
  const engine::EngineOptions& limits = rpc_.engine->options();
  absl::Status size = CheckPayloadSize(payload_bytes, limits.max_payload_bytes, "payload_bytes");
  if (!size.ok()) return size;
  FieldViolations violations;
  if (spec->has_payload_segment()) {
    violations.Add("task.payload_segment", "is for Submit and Session: there is nothing to upload");
    return violations.ToStatus();
  }
  if (!spec->payload().empty()) {
    violations.Add("task.payload", "must be empty: the payload comes in the chunks that follow");
    return violations.ToStatus();
  }
  absl::Status request_id = CheckRequestId(spec->request_id(), "task.");
  if (!request_id.ok()) return request_id;
  auto options = ReadTaskOptions(*spec, "task.");
  if (!options.ok()) return options.status();
  submission_.options = *std::move(options);
  submission_.request_id = std::move(*spec->mutable_request_id());
  payload_.emplace(payload_bytes, limits.inline_threshold_bytes, caller_.uid,
                   &rpc_.engine->segments());
  if (payload_bytes == 0) {
    // A command's own standard input.
    absl::StatusOr<engine::Bytes> packed = rpc_.engine->Pack(PayloadOf(*spec), caller_.uid);
    if (!packed.ok()) return packed.status();
    submission_.payload = *std::move(packed);
  }
  return absl::OkStatus();
}

void UploadCall::Submit() {
  // The stream's end may be the answer to our own.
  if (finished_) return;
  if (!payload_.has_value()) {
    FieldViolations violations;
    violations.Add("task", "is missing: the stream ended before its first message");
    return Fail(violations.ToStatus());
  }
  absl::StatusOr<engine::Bytes> payload = payload_->Finish();
  if (!payload.ok()) return Fail(payload.status());
  if (payload->size() > 0) submission_.payload = *std::move(payload);
  rpc_.engine->Post([call = shared_from_this()] {
    const auto submitted = call->rpc_.engine->Submit(call->caller_, std::move(call->submission_));
    if (!submitted.ok()) return call->Fail(submitted.status());
    if (call->finished_.exchange(true)) return;
    v1::SubmitResponse response;
    response.set_task_id(submitted->first);
    response.set_existing(submitted->second);
    *call->response_ = SerializeMessage(response);
    call->Finish(grpc::Status::OK);
  });
}

void UploadCall::Fail(const absl::Status& status) {
  if (!finished_.exchange(true)) Finish(ToGrpcStatus(status));
}

void UploadCall::OnCancel() {
  Fail(absl::CancelledError("the client cancelled the call or its deadline has passed"));
}

void UploadCall::OnDone() {
  if (idle_timer_ != nullptr) idle_timer_->Stop();
  self_.reset();
}

}  // namespace prefork::rpc
