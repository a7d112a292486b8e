#include "server/rpc/event_to_proto.h"

#include "common/text/utf8.h"
#include "server/rpc/enum_mapping.h"
#include "server/rpc/pool_mapping.h"
#include "server/rpc/task_to_proto.h"
#include "server/rpc/time_mapping.h"

namespace prefork::rpc {
namespace {

using engine::EventRecord;

void StateToProto(const EventRecord& record, v1::TaskStateChange* out) {
  out->set_state(ToProto(record.state));
  out->set_cause(ToProto(record.cause));
  out->set_attempt(record.attempt);
  if (record.worker_index != scheduler::kNone) {
    out->set_worker_index(record.worker_index);
    out->set_worker_generation(record.worker_generation);
  }
}

}  // namespace

void ToProto(const EventRecord& record, v1::TaskEvent* out) {
  out->set_task_id(record.task);
  switch (record.kind) {
    case EventRecord::Kind::kState:
      StateToProto(record, out->mutable_state());
      return;
    case EventRecord::Kind::kRetry:
      if (record.report != nullptr) ToProto(*record.report, out->mutable_retry()->mutable_report());
      ToProto(record.next_attempt_at, out->mutable_retry()->mutable_next_attempt_at());
      return;
    case EventRecord::Kind::kFinished:
      out->mutable_finished()->set_state(ToProto(record.state));
      return;
    case EventRecord::Kind::kOutput:
      out->mutable_output()->set_stream(ToProto(record.stream));
      out->mutable_output()->set_offset(record.offset);
      if (record.data != nullptr) out->mutable_output()->set_data(*record.data);
      return;
    case EventRecord::Kind::kProgress:
      if (record.progress != nullptr) ToProto(*record.progress, out->mutable_progress());
      return;
    case EventRecord::Kind::kPartial:
      out->mutable_partial()->set_index(record.offset);
      if (record.data != nullptr) out->mutable_partial()->set_value(*record.data);
      if (record.content_type != nullptr) {
        out->mutable_partial()->set_content_type(text::CleanUtf8(*record.content_type));
      }
      return;
    case EventRecord::Kind::kWorker:
    case EventRecord::Kind::kPool:
      return;
  }
}

void ToProto(const EventRecord& record, v1::Event* out) {
  out->set_sequence(record.sequence);
  ToProto(record.time, out->mutable_time());
  switch (record.kind) {
    case EventRecord::Kind::kWorker:
      if (record.worker != nullptr)
        ToProto(*record.worker, out->mutable_worker()->mutable_worker());
      if (record.report != nullptr) {
        ToProto(*record.report, out->mutable_worker()->mutable_exit_report());
      }
      out->mutable_worker()->set_task_id(record.task);
      return;
    case EventRecord::Kind::kPool:
      if (record.pool != nullptr) ToProto(*record.pool, out->mutable_pool()->mutable_pool());
      return;
    default:
      ToProto(record, out->mutable_task());
      return;
  }
}

}  // namespace prefork::rpc
