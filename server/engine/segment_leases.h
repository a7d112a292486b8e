#ifndef PREFORK_SERVER_ENGINE_SEGMENT_LEASES_H_
#define PREFORK_SERVER_ENGINE_SEGMENT_LEASES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/segments/protocol.h"
#include "common/shm/segment.h"

namespace prefork::engine {

struct SegmentLeaseLimits {
  size_t max_segments = 1024;                  // of one client
  size_t max_bytes = size_t{512} << 20;        // of one client
  size_t max_total_bytes = size_t{768} << 20;  // of all clients: the rest is left to values
};

// Which segments the clients on this host have in their hands: one holder for each of their
// connections, named by a token that only it knows. A lease is one reference to the segment; tasks
// and workers have references of their own. Thread-safe.
class SegmentLeases {
 public:
  explicit SegmentLeases(const SegmentLeaseLimits& limits) : limits_(limits) {}

  // A new holder that belongs to `uid`. UNAVAILABLE when the kernel has no random bytes.
  absl::StatusOr<segments::Token> Open(uint32_t uid) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the holder with all its leases.
  void Close(const segments::Token& token) ABSL_LOCKS_EXCLUDED(mutex_);

  // Would a lease of so many bytes be within the bounds? RESOURCE_EXHAUSTED names the limit.
  absl::Status CheckRoom(const segments::Token& token, size_t size_bytes) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Leases a segment to a holder; each has to be released. What it holds already costs nothing more.
  // RESOURCE_EXHAUSTED as CheckRoom; NOT_FOUND: the holder is gone.
  absl::Status Add(const segments::Token& token, shm::SegmentRef segment)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // NOT_FOUND: not leased to the holder, or not as often.
  absl::Status Release(const segments::Token& token, uint64_t segment_id)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // A segment that a holder of this user has leased. NOT_FOUND: unknown, another user's, or none of
  // this holder's; the message does not tell which. `token` may be any bytes.
  absl::StatusOr<shm::SegmentRef> Find(std::string_view token, uint32_t uid,
                                       uint64_t segment_id) const ABSL_LOCKS_EXCLUDED(mutex_);

  size_t holders() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Of all holders.
  size_t leased_bytes() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Lease {
    shm::SegmentRef segment;
    size_t count = 0;
  };
  struct Holder {
    uint32_t uid = 0;
    size_t bytes = 0;
    absl::flat_hash_map<uint64_t, Lease> leases;
  };

  absl::Status CheckRoomLocked(const Holder& holder, size_t size_bytes) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static std::string Key(const segments::Token& token) { return {token.data(), token.size()}; }

  const SegmentLeaseLimits limits_;
  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Holder> holders_ ABSL_GUARDED_BY(mutex_);  // by token
  size_t leased_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace prefork::engine

#endif  // PREFORK_SERVER_ENGINE_SEGMENT_LEASES_H_
