#include "tests/server/worker/lane_damage.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <limits>
#include <span>

#include "common/os/clock.h"
#include "common/os/eventfd.h"
#include "common/shm/lane_layout.h"

namespace prefork::worker_testing {
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
[[noreturn]] void WakeTheEngineAndHang(LaneGuest& lane) {
  os::SignalEventfd(lane.up_eventfd());
  for (;;) pause();
}

constexpr LaneDamage kDamages[] = {
    // Indices.
    {"up-tail-far-ahead", false,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).header().up.tail.store(kHuge);
       WakeTheEngineAndHang(lane);
     }},
    {"up-tail-unaligned", false,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).header().up.tail.fetch_add(8);
       WakeTheEngineAndHang(lane);
     }},
    {"up-tail-backwards", false,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).header().up.tail.fetch_sub(16);
       WakeTheEngineAndHang(lane);
     }},
    // Headers of records.
    {"up-body-bytes", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().body_bytes = kHuge32; }},
    {"up-body-bytes-short", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().body_bytes = 8; }},
    {"up-body-bytes-zero", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().body_bytes = 0; }},
    {"up-kind-zero", true, [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().kind = 0; }},
    {"up-kind-unknown", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().kind = 0xffff; }},
    {"up-kind-task", true,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).UpRecord().kind = static_cast<uint16_t>(RecordKind::kTask);
     }},
    {"up-kind-started", true,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).UpRecord().kind = static_cast<uint16_t>(RecordKind::kStarted);
     }},
    {"up-kind-padding", true,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).UpRecord().kind = static_cast<uint16_t>(RecordKind::kPadding);
     }},
    {"up-claim-unknown", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).UpRecord().claim.store(77); }},
    {"up-claim-revoked", true,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).UpRecord().claim.store(static_cast<uint32_t>(shm::ClaimState::kRevoked));
     }},
    {"up-generation", true,
     [](uint64_t, LaneGuest& lane) { ++LaneMemory(lane).UpRecord().generation; }},
    // The end of a task.
    {"finished-task-zero", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().task_id = 0; }},
    {"finished-task-other", true,
     [](uint64_t, LaneGuest& lane) { ++LaneMemory(lane).Finished().task_id; }},
    {"finished-outcome-zero", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().outcome = 0; }},
    {"finished-outcome-unknown", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().outcome = kHuge32; }},
    {"finished-started-negative", true,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).Finished().started_ns = std::numeric_limits<int64_t>::min();
     }},
    {"finished-before-started", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().finished_ns = 1; }},
    {"finished-in-the-future", true,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).Finished().finished_ns = std::numeric_limits<int64_t>::max();
     }},
    {"finished-started-in-the-future", true,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).Finished().started_ns = std::numeric_limits<int64_t>::max();
       LaneMemory(lane).Finished().finished_ns = std::numeric_limits<int64_t>::max();
     }},
    {"finished-started-long-ago", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().started_ns = 1; }},
    {"finished-cpu", true,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).Finished().cpu_ns = std::numeric_limits<int64_t>::min();
     }},
    {"finished-segment-unknown", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().segment_id = kHuge; }},
    {"finished-value-bytes", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().value_bytes = kHuge; }},
    {"finished-error-bytes", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().error_bytes = kHuge32; }},
    {"finished-type-bytes", true,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).Finished().content_type_bytes = kHuge32; }},
    // Records that no sound worker sends.
    {"started-twice", false,
     [](uint64_t task_id, LaneGuest& lane) {
       const shm::StartedRecord record = {task_id, os::Clock::System()->MonotonicNs()};
       Send(lane, RecordKind::kStarted, record);
       Send(lane, RecordKind::kStarted, record);
     }},
    {"started-other", false,
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kStarted, shm::StartedRecord{task_id + 1, 1});
     }},
    {"started-negative", false,
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kStarted,
            shm::StartedRecord{task_id, std::numeric_limits<int64_t>::min()});
     }},
    {"started-long", false,
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kStarted, shm::StartedRecord{task_id, 1}, 100);
     }},
    {"progress-text-bytes", false,
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kProgress, shm::ProgressRecord{task_id, 1, 2, kHuge}, 16);
     }},
    {"progress-other", false,
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kProgress, shm::ProgressRecord{task_id + 1, 1, 2, 16}, 16);
     }},
    {"partial-segment-unknown", false,
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kPartial, shm::PartialRecord{task_id, 4711, 16, 0, 0});
     }},
    {"partial-value-bytes", false,
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kPartial, shm::PartialRecord{task_id, 0, kHuge, 0, 0}, 16);
     }},
    {"partial-type-bytes", false,
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kPartial, shm::PartialRecord{task_id, 0, 0, 1000, 0}, 1000);
     }},
    {"task-upwards", false,
     [](uint64_t task_id, LaneGuest& lane) {
       shm::TaskRecord record = {};
       record.task_id = task_id;
       Send(lane, RecordKind::kTask, record);
     }},
    // A task that is given back after it was taken.
    {"down-claim-unclaimed", false,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).DownRecord().claim.store(static_cast<uint32_t>(shm::ClaimState::kReady));
     }},
    {"down-claim-revoked", false,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).DownRecord().claim.store(static_cast<uint32_t>(shm::ClaimState::kRevoked));
     }},
    {"down-head-far-ahead", false,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).header().down.head.store(kHuge); }},
    {"finished-twice", false,
     [](uint64_t task_id, LaneGuest& lane) {
       Send(lane, RecordKind::kFinished, Success(task_id));
     }},
    // What the engine does not read again, so that it does no harm.
    {"plain-header-fields", false,
     [](uint64_t, LaneGuest& lane) {
       LaneHeader& header = LaneMemory(lane).header();
       header.magic = kHuge;
       header.version = header.worker_index = header.generation = kHuge32;
       header.total_bytes = header.down_bytes = header.up_bytes = 3;
       header.down_offset = header.up_offset = kHuge;
     }},
    {"status-words", false,
     [](uint64_t task_id, LaneGuest& lane) {
       lane.status().running_task.store(task_id + 1);
       lane.status().progress.store(kHuge);
       lane.status().cancelled_task.store(kHuge);
       lane.status().output_read_begin.store(kHuge);
       lane.status().output_read_end.store(kHuge);
     }},
    {"down-claim-unknown", false,
     [](uint64_t, LaneGuest& lane) { LaneMemory(lane).DownRecord().claim.store(kHuge32); }},
    {"wait-status", true,
     [](uint64_t, LaneGuest& lane) {
       LaneMemory(lane).Finished().wait_status = -1;
       LaneMemory(lane).Finished().peak_rss_bytes = kHuge;
     }},
    // Everything at once.
    {"down-ring", false,
     [](uint64_t, LaneGuest& lane) {
       const std::span<std::byte> ring = LaneMemory(lane).down();
       std::memset(ring.data(), 0xff, ring.size());
     }},
    {"all-ones", false,
     [](uint64_t, LaneGuest& lane) {
       const std::span<std::byte> all = LaneMemory(lane).all();
       std::memset(all.data(), 0xff, all.size());
     }},
    {"all-zeros", false,
     [](uint64_t, LaneGuest& lane) {
       const std::span<std::byte> all = LaneMemory(lane).all();
       std::memset(all.data(), 0, all.size());
     }},
};

}  // namespace

const LaneDamage* FindLaneDamage(std::string_view name) {
  const auto* const damage =
      std::find_if(std::begin(kDamages), std::end(kDamages),
                   [name](const LaneDamage& each) { return name == each.name; });
  return damage == std::end(kDamages) ? nullptr : damage;
}

}  // namespace prefork::worker_testing
