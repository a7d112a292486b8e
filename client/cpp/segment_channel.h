#ifndef PREFORK_CLIENT_CPP_SEGMENT_CHANNEL_H_
#define PREFORK_CLIENT_CPP_SEGMENT_CHANNEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/os/fd.h"
#include "common/os/fork_count.h"
#include "common/segments/message.h"
#include "common/shm/segment_maps.h"

namespace prefork::client::internal {

// The client's end of the segment socket; what is said there is described in
// common/segments/message.cc, how threads share it in segment_channel.cc. Thread-safe.
class SegmentChannel {
 public:
  // Connects to the segment socket beside that of `address`. Fails with what is in the way: then the
  // daemon offers no segments, or none to us.
  static absl::StatusOr<std::shared_ptr<SegmentChannel>> Connect(const std::string& address,
                                                                 absl::Time deadline);
  SegmentChannel(const SegmentChannel&) = delete;
  SegmentChannel& operator=(const SegmentChannel&) = delete;

  // What names this connection in calls to the daemon.
  std::string_view token() const { return {token_.data(), token_.size()}; }
  const std::string& address() const { return address_; }
  // False: the daemon has closed it, and all leases are over; or it is the one of our parent process.
  bool alive() ABSL_LOCKS_EXCLUDED(mutex_);

  struct Leased {
    uint64_t segment_id = 0;
    size_t offset = 0;  // of a value
    size_t size_bytes = 0;
    shm::SegmentMap map;
    os::ForkCount forks = os::CountForks();  // then
  };
  // Room of at least `size_bytes`. Waits for the daemon's answer: RESOURCE_EXHAUSTED names the limit,
  // UNAVAILABLE: the connection has ended, DEADLINE_EXCEEDED.
  absl::StatusOr<Leased> Allocate(size_t size_bytes, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The value that the daemon has sent in this segment ahead of the event that says so. Waits only when
  // the socket had no room for it. UNAVAILABLE: the connection has ended; NOT_FOUND: it did not come.
  absl::StatusOr<Leased> TakeValue(uint64_t segment_id, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The value of a finished task by asking for it. Errors as Allocate, and FAILED_PRECONDITION when
  // it lies in no segment.
  absl::StatusOr<Leased> OpenValue(uint64_t task_id, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Lets go of a segment. One that a child process may have as well stays leased until both have let go
  // of the connection.
  void Release(Leased leased) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for one that was given to a task.
  void Forget(Leased leased);

 private:
  struct Sent {  // by the daemon, not mapped yet
    segments::Grant grant;
    os::Fd memfd;
  };

  SegmentChannel(std::string address, os::Fd socket, os::Fd wake)
      : address_(std::move(address)), socket_(std::move(socket)), wake_(std::move(wake)) {}
  bool Inherited() const { return os::CountForks().as_child != forks_.as_child; }
  absl::Status SayHello(absl::Time deadline);
  absl::StatusOr<Sent> Ask(segments::Message question, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void WaitForPacketsLocked(absl::Time deadline) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReceiveLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeInLocked(segments::Message message, std::vector<os::Fd> fds)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReleaseLocked(uint64_t segment_id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Leased> MapSent(Sent sent, os::Mapping::Access access, size_t write_bytes);

  const std::string address_;
  const os::ForkCount forks_ = os::CountForks();  // when it was made
  const os::Fd socket_;
  const os::Fd wake_;  // for the thread that polls, when another has taken in its packet
  segments::Token token_ = {};
  shm::SegmentMaps maps_{/*max_kept=*/1024, /*max_kept_bytes=*/size_t{1} << 30};

  mutable absl::Mutex mutex_;
  absl::CondVar taken_in_;
  bool alive_ ABSL_GUARDED_BY(mutex_) = true;
  bool polling_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t requests_made_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_set<uint64_t> asked_ ABSL_GUARDED_BY(mutex_);  // somebody waits for the answer
  absl::flat_hash_map<uint64_t, absl::StatusOr<Sent>> answers_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, Sent> values_ ABSL_GUARDED_BY(mutex_);  // by segment, untaken
  std::vector<uint64_t> unsent_releases_ ABSL_GUARDED_BY(mutex_);       // the daemon did not read
};

}  // namespace prefork::client::internal

#endif  // PREFORK_CLIENT_CPP_SEGMENT_CHANNEL_H_
