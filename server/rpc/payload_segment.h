#ifndef PREFORK_SERVER_RPC_PAYLOAD_SEGMENT_H_
#define PREFORK_SERVER_RPC_PAYLOAD_SEGMENT_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "prefork/v1/task.pb.h"
#include "server/engine/segment_leases.h"
#include "server/engine/types.h"

namespace prefork::rpc {

// The payload that a client has put into one of its segments. `leases` (not owned) is null where none
// are offered; `path` is put before the names of fields. INVALID_ARGUMENT names the field that is
// wrong, NOT_FOUND: the segment is not this client's.
absl::StatusOr<engine::Bytes> TakePayload(const v1::PayloadSegment& place,
                                          engine::SegmentLeases* leases, uint32_t uid,
                                          absl::string_view path);

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_PAYLOAD_SEGMENT_H_
