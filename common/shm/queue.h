#ifndef PREFORK_COMMON_SHM_QUEUE_H_
#define PREFORK_COMMON_SHM_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/shm/lane_layout.h"

namespace prefork::shm {

// The two ends of one single-producer single-consumer ring of variable-length records; the design
// note is in queue.cc. Neither end trusts the other: indices and lengths are copied once, then
// checked, and nonsense is a DATA_LOSS status that names the field. Neither end ever blocks; the
// caller sleeps (see Prepare/CancelSleep).

// Where a record was put; what the producer needs to revoke it.
struct RecordPosition {
  uint64_t offset = 0;  // monotonic byte offset of the record's header
};

class QueueProducer {
 public:
  QueueProducer() = default;
  // `ring` and `indices` are not owned; ring_bytes is a power of two. `event_fd` wakes a sleeping
  // consumer; not owned.
  QueueProducer(std::byte* ring, size_t ring_bytes, QueueIndices* indices, uint32_t generation,
                int event_fd);

  // Reserves room for a body of `body_bytes` (not 0); the caller fills it, then calls Commit.
  // Returns an empty span when the ring is too full now (or the consumer's index is nonsense:
  // used_bytes() tells); bodies over max_body_bytes() never fit. The span is 16-byte aligned. The
  // consumer sees nothing before Publish(). A second Reserve drops the first.
  std::span<std::byte> Reserve(RecordKind kind, size_t body_bytes);
  RecordPosition Commit();
  // Makes all committed records visible: one release store.
  void Publish();
  // Publish, full fence, and if the consumer sleeps one eventfd write. Also right after a bare
  // Publish(). Returns whether it woke the consumer.
  bool PublishAndWake();

  // Takes a published record back. True: the consumer will skip it. False: it is claimed already
  // (or done).
  bool Revoke(RecordPosition position);
  // Has the consumer claimed the record? True as well once it was released, and when the claim word
  // is nonsense: then the record may have been acted upon.
  bool IsClaimed(RecordPosition position) const;
  // Has the consumer released everything up to and including the record at `position`?
  absl::StatusOr<bool> IsReleased(RecordPosition position) const;

  size_t max_body_bytes() const { return MaxBodyBytes(ring_bytes_); }
  // Bytes committed and not yet released by the consumer. DATA_LOSS when the consumer's index is
  // nonsense.
  absl::StatusOr<size_t> used_bytes() const;
  // Asks to be woken (via the producer's own eventfd) when the consumer frees room; then the caller
  // must look at HasRoom() once more before it sleeps. The consumer calls
  // QueueConsumer::TakeProducerWaiting after releasing.
  void SetWaiting(bool waiting);
  // Would Reserve(body_bytes) succeed now?
  bool HasRoom(size_t body_bytes) const;

 private:
  bool RefreshHead() const;
  absl::Status BadHead() const;
  size_t PaddingBefore(size_t record_bytes) const;
  std::byte* WriteHeader(RecordKind kind, size_t body_bytes);

  std::byte* ring_ = nullptr;
  size_t ring_bytes_ = 0;
  QueueIndices* indices_ = nullptr;
  uint32_t generation_ = 0;
  int event_fd_ = -1;
  uint64_t tail_ = 0;                 // committed, maybe not published
  mutable uint64_t cached_head_ = 0;  // the consumer's head as last seen and checked
  size_t reserved_record_bytes_ = 0;  // 0: nothing is reserved
};

class QueueConsumer {
 public:
  QueueConsumer() = default;
  // `ring` and `indices` are not owned. The ring is written only to claim records.
  QueueConsumer(std::byte* ring, size_t ring_bytes, QueueIndices* indices, uint32_t generation);

  struct Record {
    RecordKind kind;
    std::span<const std::byte> body;  // in shared memory: copy before checking contents
    uint64_t offset;
  };
  // The next record, or nothing when the queue is empty. Padding and revoked records are skipped
  // and released. With `claim` the record is claimed first (down queue), so a record returned is
  // the caller's alone: call it only when the record is acted upon next. DATA_LOSS: an index,
  // length, kind, claim word or generation makes no sense; it stays so.
  absl::StatusOr<std::optional<Record>> Next(bool claim);
  // Gives the room of the record last returned (and all before it) back to the producer.
  void Release();
  // Is there something that Next() has not looked at yet (maybe only padding or revoked records)?
  // One load.
  bool HasRecords() const;
  size_t ring_bytes() const { return ring_bytes_; }
  // Announces sleep: from now on a publish signals the eventfd. Returns false when records have
  // come in the meantime (then do not sleep; the announcement is withdrawn).
  bool PrepareSleep();
  // Withdraws the announcement after waking.
  void CancelSleep();
  // True once after the producer found the ring full and set SetWaiting: the caller then signals
  // the producer's eventfd. Call it after a batch of Release(); costs a full fence.
  bool TakeProducerWaiting();

 private:
  absl::Status Step(bool claim, std::optional<Record>* record);

  std::byte* ring_ = nullptr;
  size_t ring_bytes_ = 0;
  QueueIndices* indices_ = nullptr;
  uint32_t generation_ = 0;
  uint64_t head_ = 0;         // released
  uint64_t next_ = 0;         // returned or skipped
  uint64_t cached_tail_ = 0;  // the producer's tail as last seen and checked
};

}  // namespace prefork::shm

#endif  // PREFORK_COMMON_SHM_QUEUE_H_
