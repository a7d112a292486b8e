#include "server/rpc/read_value_call.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpcpp/support/slice.h"
#include "prefork/v1/task_service.pb.h"
#include "server/engine/errors.h"
#include "server/rpc/message_io.h"
#include "server/rpc/status_mapping.h"
#include "server/rpc/wire_writer.h"

namespace prefork::rpc {
namespace {

// Written between two visits to the engine's thread.
constexpr size_t kChunksAtOnce = 4;

// One ValueChunk with `data` by reference for as long as `value` lives.
grpc::ByteBuffer MakeChunk(const engine::Bytes& value, uint64_t offset, std::string_view data) {
  WireWriter header;
  header.Uint64Field(v1::ValueChunk::kOffsetFieldNumber, offset);
  header.Uint64Field(v1::ValueChunk::kTotalBytesFieldNumber, value.size());
  if (!data.empty()) header.LengthPrefix(v1::ValueChunk::kDataFieldNumber, data.size());

  grpc::Slice slices[2] = {MakeSlice(header.Take()), grpc::Slice()};
  if (value.segment() != nullptr) {
    slices[1] = grpc::Slice(
        const_cast<char*>(data.data()), data.size(),
        [](void* segment) { delete static_cast<shm::SegmentRef*>(segment); },
        new shm::SegmentRef(value.segment()));
  } else {
    slices[1] = grpc::Slice(data.data(), data.size());
  }
  return grpc::ByteBuffer(slices, 2);
}

}  // namespace

ReadValueCall::ReadValueCall(const RpcContext& rpc, const engine::Caller& caller,
                             engine::TaskId task, uint64_t offset)
    : StreamCall(rpc, caller), task_(task), offset_(offset) {}

void ReadValueCall::OnStart() {
  absl::StatusOr<engine::TaskInfo> info = engine().Get(caller(), task_);
  if (!info.ok()) return End(info.status());
  const bool failed_with_value =
      info->state == scheduler::TaskState::kFailed && info->value.size() > 0;
  if (info->state != scheduler::TaskState::kSucceeded && !failed_with_value) {
    return End(engine::MakeError(
        absl::StatusCode::kFailedPrecondition, reason::kTaskHasNoValue,
        absl::StrCat("task ", task_, " is ", std::string(scheduler::TaskStateName(info->state)),
                     " and has no value; only SUCCEEDED tasks and some FAILED ones have one"),
        absl::StrCat(task_)));
  }
  if (offset_ > info->value.size()) {
    return End(
        engine::MakeError(absl::StatusCode::kOutOfRange, reason::kOffsetPastEnd,
                          absl::StrCat("offset ", offset_, " is past the end of the value of task ",
                                       task_, ", which has ", info->value.size(), " bytes"),
                          absl::StrCat(task_)));
  }
  value_ = std::move(info->value);
  WriteChunks();
}

void ReadValueCall::OnWritten() {
  if (offset_ == value_.size()) {
    End(absl::OkStatus());
  } else {
    WriteChunks();
  }
}

// An empty value, or rest of one, is one empty chunk: it tells the total.
void ReadValueCall::WriteChunks() {
  std::vector<grpc::ByteBuffer> chunks;
  do {
    const std::string_view data = value_.view().substr(offset_, kChunkBytes);
    chunks.push_back(MakeChunk(value_, offset_, data));
    offset_ += data.size();
  } while (offset_ < value_.size() && chunks.size() < kChunksAtOnce);
  Write(std::move(chunks));
}

}  // namespace prefork::rpc
