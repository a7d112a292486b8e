#ifndef PREFORK_COMMON_SHM_LANE_LAYOUT_H_
#define PREFORK_COMMON_SHM_LANE_LAYOUT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

// The bytes of a lane, as both processes see them. Everything here is fixed-width, little-endian
// and free of pointers; the reader of a field copies it once and checks it. Sole writers are named
// per field.
namespace prefork::shm {

inline constexpr uint64_t kLaneMagic = 0x314e4c4b46525050;  // "PPRFKLN1"
inline constexpr uint32_t kLaneVersion = 2;
inline constexpr size_t kCacheLine = 64;

// States of a record's claim word. The producer writes kReady when it publishes; after that the
// word moves once, by compare-and-swap, to kClaimed (consumer) or kRevoked (producer).
enum class ClaimState : uint32_t { kReady = 1, kClaimed = 2, kRevoked = 3 };

// One direction's indices. Both count bytes ever written or read, and never wrap in practice (64
// bits).
struct QueueIndices {
  // Writer: producer. Bytes published.
  alignas(kCacheLine) std::atomic<uint64_t> tail;
  // Writer: consumer. Bytes released.
  alignas(kCacheLine) std::atomic<uint64_t> head;
  // Writer: consumer; the producer clears it when it wakes the consumer.
  alignas(kCacheLine) std::atomic<uint32_t> consumer_sleeping;
  // Writer: producer, when it found the queue full; the consumer clears it when it wakes the
  // producer.
  std::atomic<uint32_t> producer_waiting;
};
static_assert(sizeof(QueueIndices) == 3 * kCacheLine);
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

// Words about the task that runs now. They let the engine attribute output and show a hang.
struct LaneStatus {
  // Writer: worker. Task ID, 0 between tasks.
  alignas(kCacheLine) std::atomic<uint64_t> running_task;
  // Writer: worker. Grows at every step of the worker's loop.
  std::atomic<uint64_t> progress;
  // Writer: engine. The task that is asked to stop.
  alignas(kCacheLine) std::atomic<uint64_t> cancelled_task;
  // Writer: engine. Output reads begun and finished (see output attribution).
  std::atomic<uint64_t> output_read_begin;
  std::atomic<uint64_t> output_read_end;
};

struct LaneHeader {
  uint64_t magic;  // writer: engine, before sharing; as all plain fields here
  uint32_t version;
  uint32_t worker_index;
  uint64_t total_bytes;
  uint64_t down_offset;  // of the down ring (engine -> worker) from the start of the mapping
  uint64_t down_bytes;   // a power of two
  uint64_t up_offset;    // of the up ring (worker -> engine)
  uint64_t up_bytes;     // a power of two
  uint32_t generation;   // of the worker
  uint32_t reserved;
  QueueIndices down;
  QueueIndices up;
  LaneStatus status;
};

// Records begin at multiples of this, so that what is left at the end of a ring always holds a
// header.
inline constexpr size_t kRecordAlignment = 16;

// In front of every record of a ring. Records do not wrap: where one would not fit before the end
// of the ring, a kPadding record fills the rest. Writer: the producer, before it publishes; but see
// `claim`.
struct RecordHeader {
  uint32_t body_bytes;  // without this header and without the alignment
  uint16_t kind;        // RecordKind
  uint16_t reserved;
  std::atomic<uint32_t> claim;  // ClaimState; see its writers there. Up records stay kReady.
  uint32_t generation;          // of the worker the record is for or from
};
static_assert(sizeof(RecordHeader) == 16);

enum class RecordKind : uint16_t {
  kPadding = 1,
  kTask = 2,       // down: a TaskRecord, then function name, content type and inline payload
  kStarted = 16,   // up: a StartedRecord; only for tasks sent with kTaskNotifyStart
  kFinished = 17,  // up: a FinishedRecord, then error text, content type and inline value
  kProgress = 18,  // up: a ProgressRecord, then the text
  kPartial = 19,   // up: a PartialRecord, then content type and inline value
};

// TaskRecord::flags
// Announce the start at once (else only with the result).
inline constexpr uint32_t kTaskNotifyStart = 1;
// Measure CPU time and fence output exactly (see output_capture.cc).
inline constexpr uint32_t kTaskMeasure = 2;
// The worker's only task: end the process with its exit code.
inline constexpr uint32_t kTaskDedicated = 4;

struct TaskRecord {
  uint64_t task_id;
  uint32_t attempt;  // 1 for the first
  uint32_t flags;
  uint64_t segment_id;      // 0: the payload is inline
  uint64_t payload_offset;  // in the segment
  uint64_t payload_bytes;   // inline: in this record; else in the segment
  uint32_t function_bytes;  // function name (native, python); empty for the command runtime
  uint32_t content_type_bytes;
  // function name, content type, inline payload
};
static_assert(sizeof(TaskRecord) == 48);

// Bytes of each of a lane's rings, unless LaneOptions say otherwise; a power of two.
inline constexpr size_t kRingBytes = size_t{128} << 10;

// The largest body that a ring of `ring_bytes` takes: with its padding it has to fit however the
// ring stands, and a few of them at once.
constexpr size_t MaxBodyBytes(size_t ring_bytes) { return ring_bytes / 4 - sizeof(RecordHeader); }

inline constexpr size_t kMaxFunctionBytes = 1024;
inline constexpr size_t kMaxContentTypeBytes = 255;
// The largest value of a kPartial record, inline or in a segment: it is one message to the client.
inline constexpr size_t kMaxPartialBytes = size_t{3} << 20;
// The largest payload that a task can carry in its record, whatever its other parts.
inline constexpr size_t kMaxInlinePayloadBytes =
    MaxBodyBytes(kRingBytes) - sizeof(TaskRecord) - kMaxFunctionBytes - kMaxContentTypeBytes;

struct StartedRecord {
  uint64_t task_id;
  int64_t started_ns;  // CLOCK_MONOTONIC
};

// How a task ended in the eyes of the worker that outlived it.
enum class TaskOutcome : uint32_t {
  kSucceeded = 1,
  // The task's own error: text in the record.
  kFailed = 2,
  // Command runtime: the child's exit code or signal is in `wait_status` (zero counts as success).
  kExited = 3,
  // The task noticed that it was cancelled and stopped.
  kCancelled = 4,
};

struct FinishedRecord {
  uint64_t task_id;
  int64_t started_ns;
  int64_t finished_ns;
  int64_t cpu_ns;  // user + system of the task and its waited-for children; -1: not measured
  uint64_t peak_rss_bytes;  // of the process that ran it; 0: not measured
  uint32_t outcome;         // TaskOutcome
  int32_t wait_status;      // as wait(2) gives it; command runtime only
  uint64_t segment_id;      // 0: the value is inline
  uint64_t value_bytes;
  uint32_t error_bytes;
  uint32_t content_type_bytes;
  // error text, content type, inline value
};
static_assert(sizeof(FinishedRecord) == 72);

struct ProgressRecord {
  uint64_t task_id;
  double done;
  double total;  // 0: unknown
  uint64_t text_bytes;
};

struct PartialRecord {
  uint64_t task_id;
  uint64_t segment_id;
  uint64_t value_bytes;
  uint32_t content_type_bytes;
  uint32_t reserved;
};

}  // namespace prefork::shm

#endif  // PREFORK_COMMON_SHM_LANE_LAYOUT_H_
