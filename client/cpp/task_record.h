#ifndef PREFORK_CLIENT_CPP_TASK_RECORD_H_
#define PREFORK_CLIENT_CPP_TASK_RECORD_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prefork/client.h"
#include "prefork/task.h"
#include "prefork/task_handle.h"

namespace prefork::client::internal {

class RecordBlock;
class Session;

// What the session knows of one submitted task, shared with its handles. Fields are guarded by the
// session's mutex, except that `outcome` may be read without it once `done` is seen true.
struct TaskRecord {
  enum class Place : uint8_t {
    kSession,    // in a batch, sent or not, and accepted once it has an ID
    kUploading,  // travels by a call of its own
    kUploaded,   // followed by a call of its own
  };

  TaskRecord(RecordBlock* owner, bool is_detached, SubmitOptions&& options)
      : block(owner), detached(is_detached) {
    if (options.on_done || options.on_event) {
      callbacks = std::make_unique<SubmitOptions>(std::move(options));
    }
  }

  RecordBlock* const block;
  std::atomic<uint32_t> references{0};  // see RecordPtr
  const bool detached;
  Place place = Place::kSession;
  bool cancel_asked = false;
  bool cancel_forced = false;
  std::atomic<bool> done{false};
  uint64_t tag = 0;  // in the present session
  std::atomic<uint64_t> id{0};
  std::unique_ptr<SubmitOptions> callbacks;  // until they have run for the last time
  absl::StatusOr<TaskResult> outcome;
};

// Where records live: one allocation, and one reference to their session, for many tasks. Goes with
// the last of its records.
class RecordBlock {
 public:
  explicit RecordBlock(std::shared_ptr<Session> session) : session_(std::move(session)) {}

  bool full() const { return made_ == kRecords; }
  // REQUIRES: not full.
  RecordPtr Make(bool detached, SubmitOptions&& options);
  // No more will be made.
  void Seal();
  // One of its records is gone.
  void Drop(uint32_t records);
  Session& session() const { return *session_; }

 private:
  // More would cost memory when a program keeps a few handles of many.
  static constexpr uint32_t kRecords = 32;

  ~RecordBlock() = default;

  const std::shared_ptr<Session> session_;
  uint32_t made_ = 0;
  std::atomic<uint32_t> left_{kRecords};  // alive, or not made yet
  alignas(TaskRecord) std::array<std::byte, kRecords * sizeof(TaskRecord)> room_;
};

}  // namespace prefork::client::internal

#endif  // PREFORK_CLIENT_CPP_TASK_RECORD_H_
