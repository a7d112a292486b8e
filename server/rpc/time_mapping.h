#ifndef PREFORK_SERVER_RPC_TIME_MAPPING_H_
#define PREFORK_SERVER_RPC_TIME_MAPPING_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

// Durations and times, cut to the range of the well-known types.
namespace prefork::rpc {

void ToProto(absl::Duration duration, google::protobuf::Duration* out);
void ToProto(absl::Time time, google::protobuf::Timestamp* out);

// INVALID_ARGUMENT in words for a message outside its type's range, or of mixed signs.
absl::StatusOr<absl::Duration> FromProto(const google::protobuf::Duration& duration);
absl::StatusOr<absl::Time> FromProto(const google::protobuf::Timestamp& time);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_TIME_MAPPING_H_
