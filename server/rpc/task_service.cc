#include "server/rpc/task_service.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "server/engine/engine.h"
#include "server/rpc/enum_mapping.h"
#include "server/rpc/field_reader.h"
#include "server/rpc/field_violations.h"
#include "server/rpc/payload_segment.h"
#include "server/rpc/read_output_call.h"
#include "server/rpc/read_value_call.h"
#include "server/rpc/session_call.h"
#include "server/rpc/stream_call.h"
#include "server/rpc/task_from_proto.h"
#include "server/rpc/task_to_proto.h"
#include "server/rpc/time_mapping.h"
#include "server/rpc/unary_call.h"
#include "server/rpc/upload_call.h"
#include "server/rpc/wait_call.h"
#include "server/rpc/watch_call.h"

namespace prefork::rpc {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// A page of List ends before it; half of what a gRPC client takes unless it is told otherwise.
constexpr size_t kMaxPageBytes = size_t{2} << 20;

absl::StatusOr<engine::TaskSubmission> ReadSubmission(v1::TaskSpec* spec, const UnaryCall& call) {
  const absl::Status request_id = CheckRequestId(spec->request_id(), "task.");
  if (!request_id.ok()) return request_id;
  auto options = ReadTaskOptions(*spec, "task.");
  if (!options.ok()) return options.status();
  const uint64_t payload_bytes =
      spec->has_payload_segment() ? spec->payload_segment().size_bytes() : spec->payload().size();
  const absl::Status size =
      CheckPayloadSize(payload_bytes, call.engine().options().max_payload_bytes, "task.payload");
  if (!size.ok()) return size;

  engine::TaskSubmission submission;
  submission.options = *std::move(options);
  submission.request_id = std::move(*spec->mutable_request_id());
  if (spec->has_payload_segment() && !spec->payload().empty()) {
    return Violation("task.payload_segment", "can't be combined with payload");
  }
  absl::StatusOr<engine::Bytes> payload =
      spec->has_payload_segment()
          ? TakePayload(spec->payload_segment(), call.rpc().leases, call.caller().uid, "task.")
          : call.engine().Pack(PayloadOf(*spec), call.caller().uid);
  if (!payload.ok()) return payload.status();
  submission.payload = *std::move(payload);
  return submission;
}

absl::StatusOr<v1::Task> ToTask(const absl::StatusOr<engine::TaskInfo>& info) {
  if (!info.ok()) return info.status();
  v1::Task task;
  ToProto(*info, &task);
  return task;
}

absl::StatusOr<v1::ListTasksResponse> ListTasks(const UnaryCall& call,
                                                const v1::ListTasksRequest& request) {
  absl::StatusOr<engine::TaskFilter> filter = ReadTaskFilter(request.filter());
  if (!filter.ok()) return filter.status();
  if (request.page_size() < 0 || request.page_size() > kMaxPageSize) {
    return Violation("page_size",
                     absl::StrCat(request.page_size(), " is not between 0 and ", kMaxPageSize));
  }
  engine::TaskId cursor = 0;
  if (!request.page_token().empty() && !absl::SimpleAtoi(request.page_token(), &cursor)) {
    return Violation("page_token", "is none that this service gave out");
  }
  engine::TaskId next = 0;
  const size_t limit = request.page_size() == 0 ? kDefaultPageSize : request.page_size();
  v1::ListTasksResponse response;
  size_t bytes = 0;
  for (const engine::TaskInfo& info :
       call.engine().List(call.caller(), *filter, cursor, request.newest_first(), limit, &next)) {
    v1::Task task;
    ToProtoWithoutValue(info, &task);
    bytes += task.ByteSizeLong();
    if (bytes > kMaxPageBytes && response.tasks_size() > 0) {
      next = response.tasks(response.tasks_size() - 1).task_id();
      break;
    }
    *response.add_tasks() = std::move(task);
  }
  if (next != 0) response.set_next_page_token(absl::StrCat(next));
  return response;
}

absl::StatusOr<v1::DeleteTaskResponse> DeleteTasks(const UnaryCall& call,
                                                   const v1::DeleteTaskRequest& request) {
  if ((request.task_id() != 0) == request.has_filter()) {
    return Violation("task_id", "exactly one of task_id and filter says what to delete");
  }
  absl::StatusOr<engine::TaskFilter> filter = ReadTaskFilter(request.filter());
  if (!filter.ok()) return filter.status();
  if (request.task_id() != 0) filter->ids = {request.task_id()};
  const absl::StatusOr<size_t> deleted = call.engine().Delete(call.caller(), *filter);
  if (!deleted.ok()) return deleted.status();
  v1::DeleteTaskResponse response;
  response.set_deleted(*deleted);
  return response;
}

absl::StatusOr<ReadOutputOptions> ReadOptions(const v1::ReadOutputRequest& request) {
  ReadOutputOptions options;
  options.task = request.task_id();
  options.offset = request.offset();
  options.follow = request.follow();
  if (request.stream() != v1::OUTPUT_STREAM_UNSPECIFIED) {
    const auto stream = FromProto(request.stream());
    if (!stream.has_value()) {
      return Violation("stream",
                       absl::StrCat(static_cast<int>(request.stream()), " is no output stream"));
    }
    options.want_stdout = *stream == engine::OutputStream::kStdout;
    options.want_stderr = *stream == engine::OutputStream::kStderr;
  } else if (request.offset() != 0) {
    return Violation("offset", "is a position in one stream; say which in the field stream");
  }
  return options;
}

}  // namespace

TaskService::Unary* TaskService::Submit(Context* context, const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) {
  return ServeUnary<v1::SubmitRequest>(
      rpc_, context, in, out,
      [](const std::shared_ptr<UnaryCall>& call,
         const std::shared_ptr<v1::SubmitRequest>& request) {
        absl::StatusOr<engine::TaskSubmission> task =
            ReadSubmission(request->mutable_task(), *call);
        if (!task.ok()) return call->Fail(task.status());
        call->engine().Post([call, task = *std::move(task)]() mutable {
          const auto submitted = call->engine().Submit(call->caller(), std::move(task));
          if (!submitted.ok()) return call->Fail(submitted.status());
          v1::SubmitResponse response;
          response.set_task_id(submitted->first);
          response.set_existing(submitted->second);
          call->Reply(response);
        });
      });
}

grpc::ServerReadReactor<grpc::ByteBuffer>* TaskService::UploadTask(Context* context,
                                                                   grpc::ByteBuffer* out) {
  return UploadCall::Begin(rpc_, context, out);
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* TaskService::Session(
    Context* context) {
  return SessionCall::Begin(rpc_, context);
}

TaskService::Unary* TaskService::Get(Context* context, const grpc::ByteBuffer* in,
                                     grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::GetTaskRequest>(
      rpc_, context, in, out, [](const UnaryCall& call, const v1::GetTaskRequest& request) {
        return ToTask(call.engine().Get(call.caller(), request.task_id()));
      });
}

TaskService::Unary* TaskService::List(Context* context, const grpc::ByteBuffer* in,
                                      grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::ListTasksRequest>(rpc_, context, in, out, ListTasks);
}

TaskService::Unary* TaskService::Wait(Context* context, const grpc::ByteBuffer* in,
                                      grpc::ByteBuffer* out) {
  return ServeUnary<v1::WaitTaskRequest>(
      rpc_, context, in, out,
      [](const std::shared_ptr<UnaryCall>& call,
         const std::shared_ptr<v1::WaitTaskRequest>& request) {
        FieldViolations violations;
        FieldReader reader("", &violations);
        std::optional<absl::Duration> timeout;
        if (request->has_timeout()) {
          timeout = reader.ReadDuration("timeout", request->timeout(), /*zero_allowed=*/true);
        }
        if (!violations.ok()) return call->Fail(violations.ToStatus());
        call->engine().Post([call, task = request->task_id(), timeout] {
          WaitForTask(call, task, timeout, [call](const engine::TaskInfo& info) {
            v1::Task reply;
            ToProto(info, &reply);
            call->Reply(reply);
          });
        });
      });
}

TaskService::Stream* TaskService::Watch(Context* context, const grpc::ByteBuffer* in) {
  return ServeStream<v1::WatchTasksRequest>(
      rpc_, context, in,
      [this](const engine::Caller& caller,
             const v1::WatchTasksRequest& request) -> absl::StatusOr<std::shared_ptr<StreamCall>> {
        absl::StatusOr<engine::TaskFilter> filter = ReadTaskFilter(request.filter());
        if (!filter.ok()) return filter.status();
        engine::WatchOptions options;
        options.tasks = true;
        options.task_filter = *std::move(filter);
        options.output = request.output();
        options.progress = request.progress();
        options.after_sequence = request.after_sequence();
        options.snapshot = request.snapshot();
        return std::make_shared<WatchCall>(rpc_, caller, std::move(options));
      });
}

TaskService::Unary* TaskService::Cancel(Context* context, const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) {
  return ServeUnary<v1::CancelTaskRequest>(
      rpc_, context, in, out,
      [](const std::shared_ptr<UnaryCall>& call,
         const std::shared_ptr<v1::CancelTaskRequest>& request) {
        call->engine().Post([call, request] {
          const absl::Status begun =
              call->engine().Cancel(call->caller(), request->task_id(), request->force());
          if (!begun.ok()) return call->Fail(begun);
          WaitForTask(call, request->task_id(), std::nullopt, [call](const engine::TaskInfo& info) {
            v1::CancelTaskResponse reply;
            ToProto(info, reply.mutable_task());
            call->Reply(reply);
          });
        });
      });
}

TaskService::Unary* TaskService::Signal(Context* context, const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::SignalTaskRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call,
         const v1::SignalTaskRequest& request) -> absl::StatusOr<v1::SignalTaskResponse> {
        const absl::Status sent =
            call.engine().SignalTask(call.caller(), request.task_id(), request.signal());
        if (!sent.ok()) return sent;
        return v1::SignalTaskResponse();
      });
}

TaskService::Unary* TaskService::Retry(Context* context, const grpc::ByteBuffer* in,
                                       grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::RetryTaskRequest>(
      rpc_, context, in, out,
      [](const UnaryCall& call,
         const v1::RetryTaskRequest& request) -> absl::StatusOr<v1::SubmitResponse> {
        const absl::StatusOr<engine::TaskId> task =
            call.engine().Retry(call.caller(), request.task_id());
        if (!task.ok()) return task.status();
        v1::SubmitResponse response;
        response.set_task_id(*task);
        return response;
      });
}

TaskService::Unary* TaskService::Delete(Context* context, const grpc::ByteBuffer* in,
                                        grpc::ByteBuffer* out) {
  return ServeOnEngine<v1::DeleteTaskRequest>(rpc_, context, in, out, DeleteTasks);
}

TaskService::Stream* TaskService::ReadOutput(Context* context, const grpc::ByteBuffer* in) {
  return ServeStream<v1::ReadOutputRequest>(
      rpc_, context, in,
      [this](const engine::Caller& caller,
             const v1::ReadOutputRequest& request) -> absl::StatusOr<std::shared_ptr<StreamCall>> {
        const absl::StatusOr<ReadOutputOptions> options = ReadOptions(request);
        if (!options.ok()) return options.status();
        return std::make_shared<ReadOutputCall>(rpc_, caller, *options);
      });
}

TaskService::Stream* TaskService::ReadValue(Context* context, const grpc::ByteBuffer* in) {
  return ServeStream<v1::ReadValueRequest>(
      rpc_, context, in,
      [this](const engine::Caller& caller,
             const v1::ReadValueRequest& request) -> absl::StatusOr<std::shared_ptr<StreamCall>> {
        return std::make_shared<ReadValueCall>(rpc_, caller, request.task_id(), request.offset());
      });
}

}  // namespace prefork::rpc
