#include "tests/fault/lane_vandal.h"

#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>

#include "common/os/clock.h"
#include "common/os/eventfd.h"
#include "common/shm/lane_layout.h"

namespace prefork::fault {
namespace {

using shm::FinishedRecord;
using shm::LaneGuest;
using shm::LaneHeader;
using shm::RecordHeader;
using shm::RecordKind;

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max() - 15;  // a multiple of 16
constexpr uint32_t kHuge32 = std::numeric_limits<uint32_t>::max();

// The whole memory of the lane, which the guest's interface does not show.
class LaneMemory {
 public:
  explicit LaneMemory(LaneGuest& lane)
      : base_(reinterpret_cast<std::byte*>(&lane.status()) - offsetof(LaneHeader, status)) {}

  LaneHeader& header() { return *reinterpret_cast<LaneHeader*>(base_); }
  std::span<std::byte> down() {
    return {base_ + header().down_offset, static_cast<size_t>(header().down_bytes)};
  }
  std::span<std::byte> all() { return {base_, static_cast<size_t>(header().total_bytes)}; }

  // The first record of the up queue that is not published, behind the padding if there is some.
  RecordHeader& UpRecord() {
    std::byte* const ring = base_ + header().up_offset;
    auto* record =
        reinterpret_cast<RecordHeader*>(ring + (header().up.tail.load() & (header().up_bytes - 1)));
    const bool padding = record->kind == static_cast<uint16_t>(RecordKind::kPadding);
    return padding ? *reinterpret_cast<RecordHeader*>(ring) : *record;
  }
  FinishedRecord& Finished() { return *reinterpret_cast<FinishedRecord*>(&UpRecord() + 1); }
  // The record of the task that is claimed.
  RecordHeader& DownRecord() {
    std::byte* const ring = base_ + header().down_offset;
    auto* record = reinterpret_cast<RecordHeader*>(
        ring + (header().down.head.load() & (header().down_bytes - 1)));
    const bool padding = record->kind == static_cast<uint16_t>(RecordKind::kPadding);
    return padding ? *reinterpret_cast<RecordHeader*>(ring) : *record;
  }

 private:
  std::byte* const base_;
};

template <typename Record>
void Send(LaneGuest& lane, RecordKind kind, const Record& record, size_t more_bytes = 0) {
  const std::span<std::byte> body = lane.up().Reserve(kind, sizeof(record) + more_bytes);
  if (body.size() < sizeof(record)) return;
  std::memset(body.data(), 'x', body.size());
  std::memcpy(body.data(), &record, sizeof(record));
  lane.up().Commit();
  lane.up().PublishAndWake();
}

FinishedRecord Success(uint64_t task_id) {
  FinishedRecord record = {};
  record.task_id = task_id;
  record.started_ns = record.finished_ns = os::Clock::System()->MonotonicNs();
  record.cpu_ns = -1;
  record.outcome = static_cast<uint32_t>(shm::TaskOutcome::kSucceeded);
  return record;
}

// The queue's own next step would mend an index, so there is none.
[[noreturn]] void WakeTheEngineAndHang() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", ignored)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), ignored);
    if (target.find("eventfd") == std::string::npos) continue;
    os::SignalEventfd(std::stoi(entry.path().filename()));
  }
  for (;;) pause();
}

struct Damage {
  const char* name;
  void (*inflict)(uint64_t task_id, LaneGuest& lane);
};

constexpr Damage kDamages[] = {
    // Indices.
    {"up-tail-far-ahead",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).header().up.tail.store(kHuge);
       WakeTheEngineAndHang();
     }},
    {"up-tail-unaligned",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).header().up.tail.fetch_add(8);
       WakeTheEngineAndHang();
     }},
    {"up-tail-backwards",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).header().up.tail.fetch_sub(16);
       WakeTheEngineAndHang();
     }},
    // Headers of records.
    {"up-body-bytes",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().body_bytes = kHuge32; }},
    {"up-body-bytes-short",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().body_bytes = 8; }},
    {"up-body-bytes-zero",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().body_bytes = 0; }},
    {"up-kind-zero", [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().kind = 0; }},
    {"up-kind-unknown",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().kind = 0xffff; }},
    {"up-kind-task",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).UpRecord().kind = static_cast<uint16_t>(RecordKind::kTask);
     }},
    {"up-kind-started",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).UpRecord().kind = static_cast<uint16_t>(RecordKind::kStarted);
     }},
    {"up-kind-padding",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).UpRecord().kind = static_cast<uint16_t>(RecordKind::kPadding);
     }},
    {"up-claim-unknown",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().claim.store(77); }},
    {"up-claim-revoked",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).UpRecord().claim.store(static_cast<uint32_t>(shm::ClaimState::kRevoked));
     }},
    {"up-generation", [](uint64_t, LaneGuest& lane) { ++LaneMemory(lane).UpRecord().generation; }},
    // The end of a task.
    {"finished-task-zero",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().task_id = 0; }},
    {"finished-task-other",
     [](uint64_t, LaneGuest& lane) { ++LaneMemory(lane).Finished().task_id; }},
    {"finished-outcome-zero",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().outcome = 0; }},
    {"finished-outcome-unknown",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().outcome = kHuge32; }},
    {"finished-started-negative",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).Finished().started_ns = std::numeric_limits<int64_t>::min();
     }},
    {"finished-before-started",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().finished_ns = 1; }},
    {"finished-in-the-future",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).Finished().finished_ns = std::numeric_limits<int64_t>::max();
     }},
    {"finished-started-in-the-future",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).Finished().started_ns = std::numeric_limits<int64_t>::max();
       LaneMemory(lane).Finished().finished_ns = std::numeric_limits<int64_t>::max();
     }},
    {"finished-started-long-ago",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().started_ns = 1; }},
    {"finished-cpu",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).Finished().cpu_ns = std::numeric_limits<int64_t>::min();
     }},
    {"finished-segment-unknown",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().segment_id = kHuge; }},
    {"finished-value-bytes",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().value_bytes = kHuge; }},
    {"finished-error-bytes",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().error_bytes = kHuge32; }},
    {"finished-type-bytes",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().content_type_bytes = kHuge32; }},
    // Records that no sound worker sends.
    {"started-twice",
     [](uint64_t task_id, LaneGuest& lane) {
       const shm::StartedRecord record = {task_id, os::Clock::System()->MonotonicNs()};
       Send(lane, RecordKind::kStarted, record);
       Send(lane, RecordKind::kStarted, record);
     }},
    {"started-other",
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kStarted, shm::StartedRecord{task_id + 1, 1});
     }},
    {"started-negative",
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kStarted,
            shm::StartedRecord{task_id, std::numeric_limits<int64_t>::min()});
     }},
    {"started-long",
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kStarted, shm::StartedRecord{task_id, 1}, 100);
     }},
    {"progress-text-bytes",
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kProgress, shm::ProgressRecord{task_id, 1, 2, kHuge}, 16);
     }},
    {"progress-other",
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kProgress, shm::ProgressRecord{task_id + 1, 1, 2, 16}, 16);
     }},
    {"partial-segment-unknown",
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kPartial, shm::PartialRecord{task_id, 4711, 16, 0, 0});
     }},
    {"partial-value-bytes",
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kPartial, shm::PartialRecord{task_id, 0, kHuge, 0, 0}, 16);
     }},
    {"partial-type-bytes",
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kPartial, shm::PartialRecord{task_id, 0, 0, 1000, 0}, 1000);
     }},
    {"task-upwards",
     [](uint64_t task_id, LaneGuest& lane) {
       shm::TaskRecord record = {};
       record.task_id = task_id;
       Send(lane, RecordKind::kTask, record);
     }},
    // A task that is given back after it was taken.
    {"down-claim-unclaimed",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).DownRecord().claim.store(static_cast<uint32_t>(shm::ClaimState::kReady));
     }},
    {"down-claim-revoked",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).DownRecord().claim.store(static_cast<uint32_t>(shm::ClaimState::kRevoked));
     }},
    {"down-head-far-ahead",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).header().down.head.store(kHuge); }},
    {"finished-twice",
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kFinished, Success(task_id));
     }},
    // What the engine does not read again, so that it does no harm.
    {"plain-header-fields",
     [](uint64_t, LaneGuest& lane) {
       LaneHeader& header = LaneMemory(lane).header();
       header.magic = kHuge;
       header.version = header.worker_index = header.generation = kHuge32;
       header.total_bytes = header.down_bytes = header.up_bytes = 3;
       header.down_offset = header.up_offset = kHuge;
     }},
    {"status-words",
     [](uint64_t task_id, LaneGuest& lane) {
       lane.status().running_task.store(task_id + 1);
       lane.status().progress.store(kHuge);
       lane.status().cancelled_task.store(kHuge);
       lane.status().output_read_begin.store(kHuge);
       lane.status().output_read_end.store(kHuge);
     }},
    {"down-claim-unknown",
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).DownRecord().claim.store(kHuge32); }},
    {"wait-status",
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).Finished().wait_status = -1;
       LaneMemory(lane).Finished().peak_rss_bytes = kHuge;
     }},
    // Everything at once.
    {"down-ring",
     [](uint64_t, LaneGuest& lane) {
       const std::span<std::byte> ring = LaneMemory(lane).down();
       std::memset(ring.data(), 0xff, ring.size());
     }},
    {"all-ones",
     [](uint64_t, LaneGuest& lane) {
       const std::span<std::byte> all = LaneMemory(lane).all();
       std::memset(all.data(), 0xff, all.size());
     }},
    {"all-zeros",
     [](uint64_t, LaneGuest& lane) {
       const std::span<std::byte> all = LaneMemory(lane).all();
       std::memset(all.data(), 0, all.size());
     }},
};

}  // namespace

bool Vandalise(std::string_view what, uint64_t task_id, LaneGuest& lane) {
  for (const Damage& damage : kDamages) {
    if (what != damage.name) continue;
    damage.inflict(task_id, lane);
    return true;
  }
  return false;
}

}  // namespace prefork::fault
