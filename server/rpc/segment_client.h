#ifndef PREFORK_SERVER_RPC_SEGMENT_CLIENT_H_
#define PREFORK_SERVER_RPC_SEGMENT_CLIENT_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/os/fd.h"
#include "common/segments/message.h"
#include "common/shm/segment.h"
#include "server/engine/engine.h"
#include "server/engine/segment_leases.h"
#include "server/rpc/segment_allocator.h"

namespace prefork::rpc {

// One connection to the segment socket: reads what the client asks for and answers it. The mechanism
// is described in common/segments/message.cc. Shared by the listener and by answers under way.
class SegmentClient : public std::enable_shared_from_this<SegmentClient> {
 public:
  struct Environment {
    engine::Engine* engine = nullptr;         // not owned
    engine::SegmentLeases* leases = nullptr;  // not owned
    SegmentAllocator* allocator = nullptr;    // not owned
    // busy() or has_unsent() may have changed, on any thread.
    std::function<void(const std::shared_ptr<SegmentClient>&)> changed;
  };

  SegmentClient(os::Fd socket, const engine::Caller& caller, const segments::Token& token,
                Environment environment);
  SegmentClient(const SegmentClient&) = delete;
  SegmentClient& operator=(const SegmentClient&) = delete;

  int fd() const { return socket_.get(); }
  const segments::Token& token() const { return token_; }
  uint32_t uid() const { return caller_.uid; }

  // Handles what has come, a few messages at most. OUT_OF_RANGE: the client has closed its end;
  // INVALID_ARGUMENT and the like: it sent nonsense. Either is the end of the connection. One thread.
  absl::Status Read();
  // Sends what had no room before. Fails when the client is gone. The same thread.
  absl::Status Flush() ABSL_LOCKS_EXCLUDED(mutex_);
  // As many requests as allowed are being answered, or the client does not read what it is sent: no
  // more is read of it.
  bool busy() const { return unanswered_ >= kMaxUnanswered || has_unsent(); }
  bool has_unsent() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Leases a segment to the client and sends it, as soon as the client has read what it was sent
  // before. Thread-safe; does not wait. UNAVAILABLE: too much waits for the client already.
  absl::Status Send(uint64_t request, const shm::SegmentRef& segment, size_t offset,
                    size_t size_bytes, bool writable);

 private:
  static constexpr size_t kMaxUnanswered = 16;
  static constexpr size_t kMaxUnsent = 1024;

  struct Outgoing {
    std::string message;
    shm::SegmentRef segment = nullptr;  // null: no descriptor goes with it
    bool writable = false;
  };

  absl::Status Handle(const segments::Message& message);
  void Allocate(const segments::Allocate& wanted);
  void OpenValue(const segments::OpenValue& wanted);
  void Grant(uint64_t request, const shm::SegmentRef& segment, size_t offset, size_t size_bytes,
             bool writable);
  void Deny(uint64_t request, const absl::Status& why);
  void Answered();
  absl::Status SendOrKeep(Outgoing outgoing) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status SendNow(const Outgoing& outgoing);

  const os::Fd socket_;
  const engine::Caller caller_;
  const segments::Token token_;
  const Environment environment_;
  bool welcomed_ = false;
  std::atomic<size_t> unanswered_{0};
  mutable absl::Mutex mutex_;
  std::deque<Outgoing> unsent_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_SEGMENT_CLIENT_H_
