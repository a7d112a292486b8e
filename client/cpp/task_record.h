#ifndef PREFORK_CLIENT_CPP_TASK_RECORD_H_
#define PREFORK_CLIENT_CPP_TASK_RECORD_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prefork/client.h"
#include "prefork/task.h"

namespace prefork::client::internal {

class Session;

// What the session knows of one submitted task, shared with its handles. Fields are guarded by the
// session's mutex, except that `outcome` may be read without it once `done` is seen true.
struct TaskRecord {
  enum class Place : uint8_t {
    kPending,    // in a batch that has not been sent
    kSent,       // not yet acknowledged
    kAccepted,   // has an ID
    kUploading,  // travels by a call of its own
    kUploaded,   // followed by a call of its own
  };

  TaskRecord(std::shared_ptr<Session> owner, bool is_detached, SubmitOptions&& options)
      : session(std::move(owner)), detached(is_detached) {
    if (options.on_done || options.on_event) {
      callbacks = std::make_unique<SubmitOptions>(std::move(options));
    }
  }

  const std::shared_ptr<Session> session;
  const bool detached;
  Place place = Place::kPending;
  bool cancel_asked = false;
  bool cancel_forced = false;
  uint64_t tag = 0;  // in the present session
  std::atomic<uint64_t> id{0};
  std::unique_ptr<SubmitOptions> callbacks;  // until they have run for the last time
  absl::StatusOr<TaskResult> outcome{absl::UnknownError("unfinished")};
  std::atomic<bool> done{false};
};

}  // namespace prefork::client::internal

#endif  // PREFORK_CLIENT_CPP_TASK_RECORD_H_
