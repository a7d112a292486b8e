// A single-producer single-consumer ring of variable-length records between two processes.
//
//            0                                                              ring_bytes
//     ring   | ..... |hdr body |hdr body |hdr body      | free ..     |hdr padding |
//                    ^ head              ^ next_        ^ tail
//                    released            returned by    published
//                                        Next()
//
//   All three count bytes for ever; the place in the ring is the count modulo ring_bytes.
//
//   word of QueueIndices   only writer                      who reads it
//   tail                   producer (Publish)               consumer: when its last copy is used up
//   head                   consumer (Release)               producer: when the room it knows is used
//   consumer_sleeping      consumer; the producer           producer: after each publish
//                          exchanges it to 0 when it wakes
//   producer_waiting       producer; the consumer           consumer: after a batch of releases
//                          exchanges it to 0 when it wakes
//   RecordHeader::claim    producer until published; then whoever wins the exchange
//                          ready->claimed or ready->revoked
//   all else in the ring   producer, before it publishes
//
// Batches. Commit() moves only a private tail, so many records cost one store to the shared tail.
// Each side keeps a copy of the other's index and looks again only when the copy is used up: with a
// busy peer a cache line moves once a batch, not once a record.
//
// Wake-up. Each side publishes first and looks at the other's flag second (both seq_cst, so the two
// pairs can't pass each other):
//
//     producer: tail = t;              if (consumer_sleeping) wake
//     consumer: consumer_sleeping = 1; if (tail != next_) stay awake
//
//     consumer: head = h;              if (producer_waiting) wake
//     producer: producer_waiting = 1;  if (room) try again
//
// Whoever comes second sees what the other wrote. The flag is cleared by an exchange, so a sleeper
// costs one eventfd write whatever the number of batches, and a peer that is awake costs none.
//
// Death. There is no lock and no half state: a record counts from the store of tail on, and a task
// is the consumer's from the exchange of its claim word on. If the consumer dies, the producer
// knows of each record whether it was released, claimed or never touched. If the producer dies, the
// consumer finds whole records up to tail and then nothing. The memory is thrown away afterwards,
// never repaired.
//
// Trust. None. The peer may write anything anywhere at any time. Every shared word is copied once
// into a local and checked before use; positions are computed from private counters only, so
// nonsense can spoil contents but never an address. Next() looks at the shared tail at most once
// per call and goes over at most one ring's worth of records, so no byte pattern makes it loop.
// Bodies are in shared memory: the caller copies before it checks.
#include "common/shm/queue.h"

#include <new>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "common/os/eventfd.h"

namespace prefork::shm {
namespace {

// Reads a plain word that the peer may be changing: once, whatever the optimiser would like.
template <typename T>
T CopyOnce(const T& shared) {
  return *static_cast<const volatile T*>(&shared);
}

size_t RecordBytes(size_t body_bytes) {
  return (sizeof(RecordHeader) + body_bytes + kRecordAlignment - 1) & ~(kRecordAlignment - 1);
}

bool IsKnownKind(uint16_t kind) {
  switch (static_cast<RecordKind>(kind)) {
    case RecordKind::kPadding:
    case RecordKind::kTask:
    case RecordKind::kStarted:
    case RecordKind::kFinished:
    case RecordKind::kProgress:
    case RecordKind::kPartial:
      return true;
  }
  return false;
}

RecordHeader* HeaderAt(std::byte* ring, size_t ring_bytes, uint64_t offset) {
  return std::launder(reinterpret_cast<RecordHeader*>(ring + (offset & (ring_bytes - 1))));
}

constexpr uint32_t Word(ClaimState state) { return static_cast<uint32_t>(state); }

}  // namespace

QueueProducer::QueueProducer(std::byte* ring, size_t ring_bytes, QueueIndices* indices,
                             uint32_t generation, int event_fd)
    : ring_(ring),
      ring_bytes_(ring_bytes),
      indices_(indices),
      generation_(generation),
      event_fd_(event_fd) {}

// The consumer's index, or nothing when it is none. Keeps the last good copy.
bool QueueProducer::RefreshHead() const {
  const uint64_t head = indices_->head.load(std::memory_order_seq_cst);  // pairs with SetWaiting
  if (head < cached_head_ || head > tail_) return false;
  cached_head_ = head;
  return true;
}

// Bytes to skip so that a record of `record_bytes` does not wrap.
size_t QueueProducer::PaddingBefore(size_t record_bytes) const {
  const size_t to_end = ring_bytes_ - (tail_ & (ring_bytes_ - 1));
  return record_bytes <= to_end ? 0 : to_end;
}

bool QueueProducer::HasRoom(size_t body_bytes) const {
  if (body_bytes > max_body_bytes()) return false;
  const size_t record_bytes = RecordBytes(body_bytes);
  const size_t needed = PaddingBefore(record_bytes) + record_bytes;
  if (needed <= ring_bytes_ - (tail_ - cached_head_)) return true;
  return RefreshHead() && needed <= ring_bytes_ - (tail_ - cached_head_);
}

std::span<std::byte> QueueProducer::Reserve(RecordKind kind, size_t body_bytes) {
  PREFORK_CHECK(body_bytes > 0);
  reserved_record_bytes_ = 0;
  if (!HasRoom(body_bytes)) return {};
  const size_t record_bytes = RecordBytes(body_bytes);
  if (const size_t padding = PaddingBefore(record_bytes); padding > 0) {
    WriteHeader(RecordKind::kPadding, padding - sizeof(RecordHeader));
    tail_ += padding;
  }
  reserved_record_bytes_ = record_bytes;
  return {WriteHeader(kind, body_bytes), body_bytes};
}

// Writes the header at tail_ and returns the place of the body.
std::byte* QueueProducer::WriteHeader(RecordKind kind, size_t body_bytes) {
  std::byte* const place = ring_ + (tail_ & (ring_bytes_ - 1));
  RecordHeader* const header = new (place) RecordHeader;
  header->body_bytes = static_cast<uint32_t>(body_bytes);
  header->kind = static_cast<uint16_t>(kind);
  header->reserved = 0;
  header->claim.store(Word(ClaimState::kReady), std::memory_order_relaxed);
  header->generation = generation_;
  return place + sizeof(RecordHeader);
}

RecordPosition QueueProducer::Commit() {
  PREFORK_CHECK(reserved_record_bytes_ > 0);
  const RecordPosition position{tail_};
  tail_ += reserved_record_bytes_;
  reserved_record_bytes_ = 0;
  return position;
}

void QueueProducer::Publish() { indices_->tail.store(tail_, std::memory_order_release); }

bool QueueProducer::PublishAndWake() {
  indices_->tail.store(tail_, std::memory_order_seq_cst);
  if (indices_->consumer_sleeping.load(std::memory_order_seq_cst) == 0) return false;
  if (indices_->consumer_sleeping.exchange(0, std::memory_order_seq_cst) == 0) return false;
  os::SignalEventfd(event_fd_);
  return true;
}

bool QueueProducer::Revoke(RecordPosition position) {
  // A released record's place can't hold another one yet: only this producer writes records.
  if (position.offset < cached_head_) return false;
  uint32_t expected = Word(ClaimState::kReady);
  return HeaderAt(ring_, ring_bytes_, position.offset)
      ->claim.compare_exchange_strong(expected, Word(ClaimState::kRevoked),
                                      std::memory_order_acq_rel);
}

bool QueueProducer::IsClaimed(RecordPosition position) const {
  if (position.offset < cached_head_) return true;
  const uint32_t claim =
      HeaderAt(ring_, ring_bytes_, position.offset)->claim.load(std::memory_order_acquire);
  return claim != Word(ClaimState::kReady) && claim != Word(ClaimState::kRevoked);
}

absl::Status QueueProducer::BadHead() const {
  return absl::DataLossError(absl::StrCat("head ", indices_->head.load(std::memory_order_relaxed),
                                          " is outside of the published range ", cached_head_,
                                          " to ", tail_));
}

absl::StatusOr<bool> QueueProducer::IsReleased(RecordPosition position) const {
  if (position.offset < cached_head_) return true;
  if (!RefreshHead()) return BadHead();
  return position.offset < cached_head_;
}

absl::StatusOr<size_t> QueueProducer::used_bytes() const {
  if (!RefreshHead()) return BadHead();
  return tail_ - cached_head_;
}

void QueueProducer::SetWaiting(bool waiting) {
  indices_->producer_waiting.store(waiting ? 1 : 0, std::memory_order_seq_cst);
}

QueueConsumer::QueueConsumer(std::byte* ring, size_t ring_bytes, QueueIndices* indices,
                             uint32_t generation)
    : ring_(ring), ring_bytes_(ring_bytes), indices_(indices), generation_(generation) {}

absl::StatusOr<std::optional<QueueConsumer::Record>> QueueConsumer::Next(bool claim) {
  if (next_ == cached_tail_) {
    const uint64_t tail = indices_->tail.load(std::memory_order_acquire);
    if (tail == cached_tail_) return std::nullopt;
    if (tail < cached_tail_ || tail - head_ > ring_bytes_ || tail % kRecordAlignment != 0) {
      return absl::DataLossError(absl::StrCat("tail ", tail, " does not follow ", cached_tail_,
                                              " with head ", head_, " in a ring of ", ring_bytes_,
                                              " bytes"));
    }
    cached_tail_ = tail;
  }
  const bool holding = next_ != head_;  // a record that was returned before is not released yet
  std::optional<Record> record;
  while (!record && next_ != cached_tail_) {
    if (absl::Status status = Step(claim, &record); !status.ok()) return status;
  }
  if (!record && !holding) Release();
  return record;
}

// Goes over one record; sets `record` unless it is padding or revoked.
absl::Status QueueConsumer::Step(bool claim, std::optional<Record>* record) {
  const size_t place = next_ & (ring_bytes_ - 1);
  RecordHeader* const header = HeaderAt(ring_, ring_bytes_, next_);
  const size_t body_bytes = CopyOnce(header->body_bytes);
  const uint16_t kind = CopyOnce(header->kind);
  const uint32_t generation = CopyOnce(header->generation);
  const size_t record_bytes = RecordBytes(body_bytes);
  if (record_bytes > cached_tail_ - next_ || record_bytes > ring_bytes_ - place) {
    return absl::DataLossError(
        absl::StrCat("record at ", next_, " has ", body_bytes, " bytes, more than were published"));
  }
  if (!IsKnownKind(kind))
    return absl::DataLossError(absl::StrCat("record at ", next_, " has kind ", kind));
  if (generation != generation_) {
    return absl::DataLossError(absl::StrCat("record at ", next_, " has generation ", generation,
                                            " instead of ", generation_));
  }
  const RecordKind known_kind = static_cast<RecordKind>(kind);
  if (known_kind == RecordKind::kPadding) {
    if (record_bytes != ring_bytes_ - place) {
      return absl::DataLossError(
          absl::StrCat("padding at ", next_, " does not reach the end of the ring"));
    }
  } else {
    uint32_t state = Word(ClaimState::kReady);
    if (!claim) {
      state = header->claim.load(std::memory_order_relaxed);
    } else if (header->claim.compare_exchange_strong(state, Word(ClaimState::kClaimed),
                                                     std::memory_order_acq_rel)) {
      state = Word(ClaimState::kReady);
    }
    // What nobody claims, nobody revokes.
    const bool revoked = claim && state == Word(ClaimState::kRevoked);
    if (state != Word(ClaimState::kReady) && !revoked) {
      return absl::DataLossError(absl::StrCat("record at ", next_, " has claim word ", state));
    }
    if (state == Word(ClaimState::kReady)) {
      *record = Record{known_kind, {ring_ + place + sizeof(RecordHeader), body_bytes}, next_};
    }
  }
  next_ += record_bytes;
  return absl::OkStatus();
}

void QueueConsumer::Release() {
  if (head_ == next_) return;
  head_ = next_;
  indices_->head.store(head_, std::memory_order_release);
}

bool QueueConsumer::HasRecords() const {
  return next_ != cached_tail_ || indices_->tail.load(std::memory_order_acquire) != cached_tail_;
}

bool QueueConsumer::PrepareSleep() {
  indices_->consumer_sleeping.store(1, std::memory_order_seq_cst);
  if (next_ == cached_tail_ && indices_->tail.load(std::memory_order_seq_cst) == cached_tail_)
    return true;
  CancelSleep();
  return false;
}

void QueueConsumer::CancelSleep() {
  indices_->consumer_sleeping.store(0, std::memory_order_relaxed);
}

bool QueueConsumer::TakeProducerWaiting() {
  indices_->head.store(head_, std::memory_order_seq_cst);
  if (indices_->producer_waiting.load(std::memory_order_seq_cst) == 0) return false;
  return indices_->producer_waiting.exchange(0, std::memory_order_seq_cst) != 0;
}

}  // namespace prefork::shm
