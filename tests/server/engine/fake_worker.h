#ifndef PREFORK_TESTS_SERVER_ENGINE_FAKE_WORKER_H_
#define PREFORK_TESTS_SERVER_ENGINE_FAKE_WORKER_H_

#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/shm/lane.h"
#include "gtest/gtest.h"
#include "server/pool/worker.h"

namespace prefork::engine {

// A worker without a process: the daemon's side of a real lane, and the worker's side for the test
// to play. What the engine asks of the process is written down.
class FakeWorker : public pool::Worker {
 public:
  FakeWorker(uint32_t index, uint32_t generation, bool dedicated = false, uint64_t cookie = 0)
      : index_(index), generation_(generation), dedicated_(dedicated), cookie_(cookie) {
    shm::LaneOptions options;
    options.worker_index = index;
    options.generation = generation;
    absl::StatusOr<shm::LaneOwner> owner = shm::LaneOwner::Create(options);
    EXPECT_TRUE(owner.ok()) << owner.status();
    owner_ = std::make_unique<shm::LaneOwner>(*std::move(owner));
    absl::StatusOr<shm::LaneGuest> guest =
        shm::LaneGuest::Map(os::Fd(dup(owner_->memfd())), os::Fd(dup(owner_->down_eventfd())),
                            os::Fd(dup(owner_->up_eventfd())));
    EXPECT_TRUE(guest.ok()) << guest.status();
    guest_ = std::make_unique<shm::LaneGuest>(*std::move(guest));
  }

  uint32_t index() const override { return index_; }
  uint32_t generation() const override { return generation_; }
  int32_t pid() const override { return process; }
  bool dedicated() const override { return dedicated_; }
  uint64_t dedicated_cookie() const override { return cookie_; }
  bool ready() const override { return true; }
  absl::Time started_at() const override { return absl::UnixEpoch(); }
  shm::LaneOwner& lane() override { return *owner_; }

  absl::Status SendSegment(const shm::SegmentRef& segment) override {
    if (send_result.ok()) segments[segment->id()] = segment;
    return send_result;
  }
  absl::Status GrantSegment(const shm::SegmentRef& segment) override {
    granted = segment;
    return SendSegment(segment);
  }
  absl::Status DenySegment(uint64_t, std::string_view why) override {
    denied = std::string(why);
    return deny_result;
  }
  shm::SegmentRef FindSegment(uint64_t segment_id) const override {
    const auto it = segments.find(segment_id);
    return it == segments.end() ? nullptr : it->second;
  }
  void ReleaseSegment(uint64_t segment_id) override { segments.erase(segment_id); }
  absl::Status SignalTree(int signal, bool include_worker) override {
    signals.emplace_back(signal, include_worker);
    return absl::OkStatus();
  }
  void ExpectEnd(pool::ExitReason reason, std::string_view) override { expected_end = reason; }
  void Kill(pool::ExitReason reason, std::string_view detail) override {
    if (kill_reason != pool::ExitReason::kNone) return;
    kill_reason = reason;
    kill_detail = std::string(detail);
  }

  // --- the worker's side ---
  struct Task {
    shm::TaskRecord fields;
    std::string function;
    std::string content_type;
    std::string payload;
  };
  // Claims the next task; nullopt when there is none.
  std::optional<Task> Claim() {
    const auto record = guest_->down().Next(/*claim=*/true);
    EXPECT_TRUE(record.ok()) << record.status();
    if (!record.ok() || !record->has_value()) return std::nullopt;
    Task task;
    const char* body = reinterpret_cast<const char*>((*record)->body.data());
    std::memcpy(&task.fields, body, sizeof(task.fields));
    body += sizeof(task.fields);
    task.function.assign(body, task.fields.function_bytes);
    body += task.fields.function_bytes;
    task.content_type.assign(body, task.fields.content_type_bytes);
    body += task.fields.content_type_bytes;
    if (task.fields.segment_id == 0) task.payload.assign(body, task.fields.payload_bytes);
    return task;
  }
  // Writes a record as it is and publishes it.
  template <typename Fixed>
  void Write(shm::RecordKind kind, const Fixed& fixed, std::string_view tail = {}) {
    const auto body = guest_->up().Reserve(kind, sizeof(fixed) + tail.size());
    ASSERT_FALSE(body.empty());
    std::memcpy(body.data(), &fixed, sizeof(fixed));
    if (!tail.empty()) std::memcpy(body.data() + sizeof(fixed), tail.data(), tail.size());
    guest_->up().Commit();
    guest_->up().PublishAndWake();
  }
  static shm::FinishedRecord Success(uint64_t task_id) {
    shm::FinishedRecord record = {};
    record.task_id = task_id;
    record.started_ns = 1'000;
    record.finished_ns = 2'000;
    record.cpu_ns = -1;
    record.outcome = static_cast<uint32_t>(shm::TaskOutcome::kSucceeded);
    return record;
  }
  void Finish(uint64_t task_id, std::string_view value = {}) {
    shm::FinishedRecord record = Success(task_id);
    record.value_bytes = value.size();
    Write(shm::RecordKind::kFinished, record, value);
    guest_->down().Release();
  }
  void Fail(uint64_t task_id, std::string_view error) {
    shm::FinishedRecord record = Success(task_id);
    record.outcome = static_cast<uint32_t>(shm::TaskOutcome::kFailed);
    record.error_bytes = static_cast<uint32_t>(error.size());
    Write(shm::RecordKind::kFinished, record, error);
    guest_->down().Release();
  }
  shm::LaneGuest& guest() { return *guest_; }

  int32_t process = 4711;
  absl::Status send_result;
  absl::Status deny_result;
  std::map<uint64_t, shm::SegmentRef> segments;  // leased to it
  shm::SegmentRef granted;
  std::string denied;
  std::vector<std::pair<int, bool>> signals;
  pool::ExitReason expected_end = pool::ExitReason::kNone;
  pool::ExitReason kill_reason = pool::ExitReason::kNone;
  std::string kill_detail;

 private:
  const uint32_t index_;
  const uint32_t generation_;
  const bool dedicated_;
  const uint64_t cookie_;
  std::unique_ptr<shm::LaneOwner> owner_;
  std::unique_ptr<shm::LaneGuest> guest_;
};

}  // namespace prefork::engine

#endif  // PREFORK_TESTS_SERVER_ENGINE_FAKE_WORKER_H_
