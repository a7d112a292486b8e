#ifndef PREFORK_SERVER_WORKER_DAEMON_LINK_H_
#define PREFORK_SERVER_WORKER_DAEMON_LINK_H_

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/zygote/control_socket.h"
#include "server/worker/segment_table.h"

namespace prefork::worker {

// The worker's end of its control socket: says it is ready, lends and returns segments, and notices
// the end of the daemon. Every method that reads the socket ends the process, with all its
// children, when the daemon has closed its end: that is how a worker is retired, and nothing could
// be reported to anybody any more.
class DaemonLink {
 public:
  explicit DaemonLink(zygote::ControlSocket control) : control_(std::move(control)) {}

  int fd() const { return control_.fd(); }
  absl::Status SayReady(zygote::WorkerName name);

  // Handles what has come, without waiting.
  void Serve();
  // Sleeps until `fd` (negative: none) is readable or `timeout_ns` (negative: none) is over, and
  // serves meanwhile. Returns early when something was served.
  void WaitReadable(int fd, int64_t timeout_ns);

  // The payload of a task. The daemon sends its segment before it publishes the task, so it is here
  // or will never come.
  absl::StatusOr<std::span<const char>> TaskSegment(uint64_t id, uint64_t offset,
                                                    uint64_t size_bytes);

  // Leaves a copy of it where it was, for the caller to munmap: the segment goes back when the task
  // has ended.
  absl::StatusOr<std::span<char>> LeaveCopy(uint64_t id) { return segments_.LeaveCopy(id); }

  struct Room {
    uint64_t segment_id;
    std::span<char> bytes;
  };
  // Room for a value of `size_bytes`; waits for the daemon's answer. Fails with the daemon's reason.
  absl::StatusOr<Room> RequestSegment(uint64_t size_bytes);

 private:
  // Handles one message, or returns false when there is none.
  bool ServeOne(bool wait);
  void Handle(zygote::ControlSocket::Received received);

  zygote::ControlSocket control_;
  SegmentTable segments_;
  std::optional<absl::StatusOr<uint64_t>> answer_;  // to RequestSegment: the segment's ID
};

}  // namespace prefork::worker

#endif  // PREFORK_SERVER_WORKER_DAEMON_LINK_H_
