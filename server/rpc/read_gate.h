#ifndef PREFORK_SERVER_RPC_READ_GATE_H_
#define PREFORK_SERVER_RPC_READ_GATE_H_

#include <cstddef>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace prefork::rpc {

// Decides when a session may read its next message: not while the engine has enough of the last ones to
// work through, and not while it has asked for a pause. A reader that may not go on is remembered, and
// the call that frees the way returns true exactly once. Thread-safe.
class ReadGate {
 public:
  ReadGate(size_t max_messages, size_t max_bytes)
      : max_messages_(max_messages), max_bytes_(max_bytes) {}

  // A message of `bytes` is about to go to the engine.
  void AddMessage(size_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // The engine has dealt with it. True: the reader was waiting; read now.
  bool RemoveMessage(size_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // The reader is ready for the next message. False: it waits from now on.
  bool MayRead() ABSL_LOCKS_EXCLUDED(mutex_);
  // True: the reader was waiting; read now.
  bool SetPaused(bool paused) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool OpenLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !paused_ && messages_ < max_messages_ && bytes_ < max_bytes_;
  }
  bool ReleaseReaderLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t max_messages_;
  const size_t max_bytes_;
  absl::Mutex mutex_;
  size_t messages_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;
  bool reader_waits_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_READ_GATE_H_
