#include "server/engine/admission.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/engine/command_payload.h"
#include "server/engine/errors.h"
#include "server/engine/limits.h"
#include "server/engine/task_check.h"

namespace prefork::engine {
namespace {

// Longer than any daemon runs, and far from overflow when added to a clock.
constexpr int64_t kLongNs = int64_t{100} * 365 * 24 * 3600 * 1'000'000'000;

int64_t ToNs(absl::Duration duration) {
  return std::clamp<int64_t>(absl::ToInt64Nanoseconds(duration), 0, kLongNs);
}

// Of a bound in time: infinite means none, which the scheduler writes as zero.
int64_t BoundNs(absl::Duration duration) {
  return duration == absl::InfiniteDuration() ? 0 : ToNs(duration);
}

absl::Status TooLarge(size_t bytes, size_t max_bytes) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kPayloadTooLarge,
                   absl::StrCat("the payload has ", bytes, " bytes; at most ", max_bytes,
                                " are allowed (limits.max_payload)"));
}

absl::Status QueueFull(const PoolEntry& pool) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kQueueFull,
                   absl::StrCat("pool \"", pool.name, "\" has ", pool.unfinished,
                                " unfinished tasks, its limit (max_queued_tasks)"),
                   pool.name);
}

absl::Status QueueBytesFull(const PoolEntry& pool, size_t payload_bytes) {
  return MakeError(
      absl::StatusCode::kResourceExhausted, reason::kQueueBytesFull,
      absl::StrCat("pool \"", pool.name, "\" holds ", pool.queued_bytes, " bytes of payloads; ",
                   payload_bytes, " more would exceed its limit of ", pool.spec().max_queued_bytes,
                   " (max_queued_bytes)"),
      pool.name);
}

}  // namespace

absl::StatusOr<Bytes> PackBytes(const EngineOptions& options, shm::SegmentPool& segments,
                                std::string&& bytes, uint32_t owner_uid) {
  if (bytes.size() > options.max_payload_bytes) {
    return TooLarge(bytes.size(), options.max_payload_bytes);
  }
  if (bytes.size() <= options.inline_threshold_bytes) return Bytes(std::move(bytes));
  const absl::StatusOr<shm::SegmentRef> segment = segments.Lease(bytes.size(), owner_uid);
  if (!segment.ok()) {
    return MakeError(segment.status().code(), reason::kSegmentsFull,
                     std::string(segment.status().message()));
  }
  std::memcpy((*segment)->bytes().data(), bytes.data(), bytes.size());
  return Bytes(*segment, bytes.size());
}

absl::Status Admission::CheckOptions(const TaskOptions& options) {
  pool_ = pools_->Find(options.pool);
  if (pool_ == nullptr) return NoSuchPool(options.pool, *pools_);
  if (pool_->deleting) {
    return MakeError(absl::StatusCode::kNotFound, reason::kPoolDeleted,
                     absl::StrCat("pool \"", pool_->name, "\" is just being deleted"), pool_->name);
  }
  if (pool_->draining) {
    return MakeError(absl::StatusCode::kUnavailable, reason::kPoolDraining,
                     absl::StrCat("pool \"", pool_->name,
                                  "\" is draining and takes no new tasks; resume it to end that"),
                     pool_->name);
  }
  if (absl::Status status = CheckTaskOptions(options); !status.ok()) return status;
  if (absl::Status status = CheckTaskForPool(options, *pool_, *pools_); !status.ok()) return status;
  return PrepareSpec(options);
}

absl::Status Admission::PrepareSpec(const TaskOptions& options) {
  const pool::PoolSpec& pool = pool_->spec();
  spec_ = scheduler::TaskSpec();
  spec_.pool = pool_->key;
  spec_.priority = options.priority;
  spec_.dedicated = options.dedicated;
  spec_.timeout_ns = BoundNs(options.timeout.value_or(pool.task_timeout));
  spec_.queue_timeout_ns = BoundNs(options.queue_timeout);
  spec_.grace_ns = ToNs(options.grace.value_or(pool.task_grace));
  spec_.retry = options.retry;
  for (const TaskId id : options.after) {
    const TaskSlot slot = core_->tasks.Find(id);
    if (slot == kNone) {
      return MakeError(absl::StatusCode::kNotFound, reason::kTaskNotFound,
                       absl::StrCat("after: no task ", id, " is known (any more)"),
                       absl::StrCat(id));
    }
    spec_.after.push_back(slot);
  }
  return absl::OkStatus();
}

int64_t Admission::NotBefore(const TaskOptions& options) const {
  if (options.delay > absl::ZeroDuration()) return core_->now_ns + ToNs(options.delay);
  if (options.not_before == absl::InfinitePast()) return 0;
  const absl::Duration wait = options.not_before - TimeOf(core_->wall_ns);
  return wait <= absl::ZeroDuration() ? 0 : core_->now_ns + ToNs(wait);
}

absl::Status Admission::CheckPayload(TaskSubmission* task, uint32_t uid, bool encoded) {
  if (task->payload.size() > core_->options.max_payload_bytes) {
    return TooLarge(task->payload.size(), core_->options.max_payload_bytes);
  }
  const bool command = task->options->command && !encoded;
  const bool too_long_inline =
      !task->payload.segment() && task->payload.size() > core_->options.inline_threshold_bytes;
  if (command || too_long_inline) {
    std::string bytes = command
                            ? EncodeCommandPayload(*task->options->command, task->payload.view())
                            : std::string(task->payload.view());
    const size_t size_bytes = bytes.size();
    absl::StatusOr<Bytes> packed =
        PackBytes(core_->options, *core_->segments, std::move(bytes), uid);
    if (absl::IsResourceExhausted(packed.status()) && life_->EvictSegments(size_bytes)) {
      ForgetOptions();  // a predecessor may be among the evicted
      // NOLINTNEXTLINE(bugprone-use-after-move): nothing is moved when it fails
      packed = PackBytes(core_->options, *core_->segments, std::move(bytes), uid);
    }
    if (!packed.ok()) return packed.status();
    task->payload = *std::move(packed);
  }
  return absl::OkStatus();
}

absl::StatusOr<Admission::Accepted> Admission::Submit(uint32_t uid, scheduler::ClientKey client,
                                                      Session* session, TaskSubmission task,
                                                      bool encoded) {
  if (core_->draining) {
    return MakeError(absl::StatusCode::kUnavailable, reason::kDraining,
                     "the daemon is shutting down and takes no new tasks");
  }
  if (absl::Status status = CheckPayload(&task, uid, encoded); !status.ok()) return status;
  if (checked_ != task.options) {
    checked_ = task.options;
    verdict_ = CheckOptions(*task.options);
  }
  if (!verdict_.ok()) return verdict_;
  if (!task.request_id.empty()) {
    if (task.request_id.size() > kMaxRequestIdBytes) {
      return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidTask,
                       absl::StrCat("request_id is ", task.request_id.size(),
                                    " bytes long; at most ", kMaxRequestIdBytes, " are allowed"));
    }
    const absl::StatusOr<TaskSlot> first = core_->request_ids.Find(uid, task);
    if (!first.ok()) return first.status();
    if (*first != kNone) {
      if (session == nullptr) core_->tasks.at(*first).outlives_session = true;
      return Accepted{*first, true};
    }
  }
  const size_t payload_bytes = task.payload.owned_bytes();
  if (pool_->unfinished >= pool_->spec().max_queued_tasks) return QueueFull(*pool_);
  if (pool_->queued_bytes + payload_bytes > pool_->spec().max_queued_bytes) {
    return QueueBytesFull(*pool_, payload_bytes);
  }

  const TaskSlot slot = core_->tasks.Add();
  spec_.client = client;
  spec_.not_before_ns = NotBefore(*task.options);
  if (absl::Status status = core_->scheduler.Submit(slot, spec_, core_->now_ns); !status.ok()) {
    core_->tasks.Withdraw(slot);
    if (absl::IsResourceExhausted(status)) return QueueFull(*pool_);
    return MakeError(status.code(), reason::kInvalidTask, std::string(status.message()));
  }
  TaskRecord& record = core_->tasks.at(slot);
  record.options = std::move(task.options);
  record.payload = std::move(task.payload);
  record.submitted_ns = core_->wall_ns;
  record.pool = pool_->key;
  record.uid = uid;
  record.outlives_session = session == nullptr || record.options->detached;
  if (!task.request_id.empty()) {
    core_->request_ids.Add(uid, task.request_id, slot);
    record.EnsureDetail().request_id = std::move(task.request_id);
  }
  ++pool_->unfinished;
  pool_->queued_bytes += payload_bytes;
  if (session != nullptr) {
    session->Attach(slot, task.tag);
    session->AddAccepted(task.tag, record.id);
  }
  life_->Accepted(slot);
  return Accepted{slot, false};
}

}  // namespace prefork::engine
