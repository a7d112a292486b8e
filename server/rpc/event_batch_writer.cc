#include "server/rpc/event_batch_writer.h"

#include <string>

#include "common/text/utf8.h"
#include "grpcpp/support/slice.h"
#include "prefork/v1/event.pb.h"
#include "prefork/v1/task_service.pb.h"
#include "server/rpc/enum_mapping.h"
#include "server/rpc/event_to_proto.h"
#include "server/rpc/message_io.h"
#include "server/rpc/status_mapping.h"
#include "server/rpc/task_to_proto.h"

namespace prefork::rpc {

void EventBatchWriter::AddAccepted(uint64_t first_tag, engine::TaskId first_id, uint64_t count) {
  if (count_ != 0 && first_tag == first_tag_ + count_ && first_id == first_id_ + count_) {
    count_ += count;
    return;
  }
  FlushAccepted();
  first_tag_ = first_tag;
  first_id_ = first_id;
  count_ = count;
}

void EventBatchWriter::FlushAccepted() {
  if (count_ == 0) return;
  using Accepted = v1::TaskAccepted;
  const size_t size = WireWriter::Uint64FieldSize(Accepted::kFirstTagFieldNumber, first_tag_) +
                      WireWriter::Uint64FieldSize(Accepted::kFirstTaskIdFieldNumber, first_id_) +
                      WireWriter::Uint64FieldSize(Accepted::kCountFieldNumber, count_);
  body_.LengthPrefix(v1::EventBatch::kAcceptedFieldNumber, size);
  body_.Uint64Field(Accepted::kFirstTagFieldNumber, first_tag_);
  body_.Uint64Field(Accepted::kFirstTaskIdFieldNumber, first_id_);
  body_.Uint64Field(Accepted::kCountFieldNumber, count_);
  count_ = 0;
}

void EventBatchWriter::AddRejected(uint64_t tag, const absl::Status& why) {
  v1::TaskRejected rejected;
  rejected.set_tag(tag);
  *rejected.mutable_status() = ToRpcStatus(why);
  body_.BytesField(v1::EventBatch::kRejectedFieldNumber, rejected.SerializeAsString());
}

void EventBatchWriter::AddEvent(uint64_t tag, const engine::EventRecord& event) {
  v1::TaskEvent message;
  ToProto(event, &message);
  message.set_tag(tag);
  body_.BytesField(v1::EventBatch::kEventsFieldNumber, message.SerializeAsString());
}

void EventBatchWriter::AddFinished(uint64_t tag, const engine::EventRecord& event,
                                   const engine::Bytes& value, std::string_view content_type,
                                   std::string_view error, const engine::ExitReport* report,
                                   const std::vector<engine::ExitReport>* earlier,
                                   uint64_t segment_id) {
  using Event = v1::TaskEvent;
  using Result = v1::TaskResult;
  // Anything but a plain success is rare, and its texts need care.
  if (report != nullptr || !error.empty() || !text::IsValidUtf8(content_type)) {
    Event message;
    message.set_task_id(event.task);
    message.set_tag(tag);
    ResultToProto(event.state, value, content_type, error, report, earlier,
                  message.mutable_finished());
    if (segment_id != 0) {
      message.mutable_finished()->clear_value();
      message.mutable_finished()->set_value_segment_id(segment_id);
    }
    body_.BytesField(v1::EventBatch::kEventsFieldNumber, message.SerializeAsString());
    return;
  }
  const auto state = static_cast<uint64_t>(ToProto(event.state));
  const std::string_view bytes =
      segment_id == 0 && value.size() <= kMaxInlineValueBytes ? value.view() : std::string_view();
  const size_t result_size =
      WireWriter::Uint64FieldSize(Result::kStateFieldNumber, state) +
      WireWriter::BytesFieldSize(Result::kValueFieldNumber, bytes.size()) +
      WireWriter::BytesFieldSize(Result::kContentTypeFieldNumber, content_type.size()) +
      WireWriter::Uint64FieldSize(Result::kValueBytesFieldNumber, value.size()) +
      WireWriter::Uint64FieldSize(Result::kValueSegmentIdFieldNumber, segment_id);
  const size_t event_size = WireWriter::Uint64FieldSize(Event::kTaskIdFieldNumber, event.task) +
                            WireWriter::Uint64FieldSize(Event::kTagFieldNumber, tag) +
                            WireWriter::MessageFieldSize(Event::kFinishedFieldNumber, result_size);
  body_.LengthPrefix(v1::EventBatch::kEventsFieldNumber, event_size);
  body_.Uint64Field(Event::kTaskIdFieldNumber, event.task);
  body_.Uint64Field(Event::kTagFieldNumber, tag);
  body_.LengthPrefix(Event::kFinishedFieldNumber, result_size);
  body_.Uint64Field(Result::kStateFieldNumber, state);
  body_.BytesField(Result::kValueFieldNumber, bytes);
  body_.BytesField(Result::kContentTypeFieldNumber, content_type);
  body_.Uint64Field(Result::kValueBytesFieldNumber, value.size());
  body_.Uint64Field(Result::kValueSegmentIdFieldNumber, segment_id);
}

grpc::ByteBuffer EventBatchWriter::Take() {
  FlushAccepted();
  WireWriter head;
  head.LengthPrefix(v1::SessionResponse::kEventsFieldNumber, body_.size());
  const grpc::Slice slices[] = {MakeSlice(head.Take()), MakeSlice(body_.Take())};
  return grpc::ByteBuffer(slices, 2);
}

}  // namespace prefork::rpc
