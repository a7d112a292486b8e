#ifndef PREFORK_SERVER_RPC_MESSAGE_IO_H_
#define PREFORK_SERVER_RPC_MESSAGE_IO_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "google/protobuf/message.h"
#include "grpcpp/support/byte_buffer.h"

// All methods are registered raw, with byte buffers: gRPC answers a request that it can't parse with
// UNIMPLEMENTED and no word, and its message allocators copy what a session can encode in place.
namespace prefork::rpc {

// The most of a value or an output that one message of an answer's stream carries.
inline constexpr size_t kChunkBytes = size_t{1} << 20;

// INVALID_ARGUMENT names the message's type when the bytes are none of it, or when one of its text
// fields is not UTF-8. `message` is replaced.
absl::Status ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::Message* message);

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message);

// `bytes` as a slice that takes them over without a copy.
grpc::Slice MakeSlice(std::string bytes);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_MESSAGE_IO_H_
