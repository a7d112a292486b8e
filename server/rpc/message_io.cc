#include "server/rpc/message_io.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "grpcpp/support/slice.h"
#include "server/engine/errors.h"
#include "server/rpc/status_mapping.h"

namespace prefork::rpc {

absl::Status ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::Message* message) {
  grpc::Slice slice;
  bool parsed;
  if (bytes.TrySingleSlice(&slice).ok()) {
    parsed = message->ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
  } else {
    grpc::ByteBuffer shared = bytes;  // counts references to the slices
    grpc::ProtoBufferReader reader(&shared);
    parsed = reader.status().ok() && message->ParseFromZeroCopyStream(&reader);
  }
  if (parsed) return absl::OkStatus();
  return engine::MakeError(
      absl::StatusCode::kInvalidArgument, reason::kMalformedRequest,
      absl::StrCat("the request is no ", message->GetDescriptor()->full_name(),
                   ": its bytes are malformed, or one of its text fields is not valid UTF-8"));
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message) {
  const grpc::Slice slice = MakeSlice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

grpc::Slice MakeSlice(std::string bytes) {
  auto* owned = new std::string(std::move(bytes));
  return grpc::Slice(
      owned->data(), owned->size(), [](void* string) { delete static_cast<std::string*>(string); },
      owned);
}

}  // namespace prefork::rpc
