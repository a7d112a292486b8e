#ifndef PREFORK_COMMON_ZYGOTE_PROTOCOL_H_
#define PREFORK_COMMON_ZYGOTE_PROTOCOL_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "common/os/fd.h"

// What the daemon and a zygote, and the daemon and a worker, say on their SEQPACKET sockets. A
// zygote is any executable that speaks this: one message is one packet (common/wire/packet_format.h),
// its body one of these structs; descriptors travel by SCM_RIGHTS in the order named. The daemon
// checks every byte that it receives.
namespace prefork::zygote {

inline constexpr uint32_t kProtocolVersion = 1;
// The zygote finds its socket at the descriptor whose number stands in this environment variable.
inline constexpr char kSocketVariable[] = "PREFORK_ZYGOTE_FD";
inline constexpr size_t kMaxMessageBytes = 64 << 10;

enum class MessageType : uint32_t {
  // --- zygote -> daemon ---
  // Once, after preloading. Text: one offered function a line (name, TAB, description).
  kReady = 1,
  // Preloading failed; the zygote ends. Text: why.
  kFailed = 2,
  // Answer to kFork, after the fork. One descriptor: a pidfd.
  kForked = 3,
  // Answer to kFork: errno and text.
  kForkFailed = 4,
  // A worker was reaped: wait status and rusage.
  kExited = 5,

  // --- daemon -> zygote ---
  // Six descriptors: lane memfd, down eventfd, up eventfd, control socket, stdout, stderr.
  kFork = 16,
  // End; workers are killed first.
  kShutdown = 17,

  // --- worker -> daemon, on the worker's control socket ---
  // The lane is mapped; tasks are welcome.
  kWorkerReady = 32,
  // Room for a large value: size.
  kSegmentRequest = 33,

  // --- daemon -> worker, on the worker's control socket ---
  // Segment ID and size; one descriptor. Ahead of a task that names it.
  kSegment = 48,
  // Size that was asked for; text: why not.
  kSegmentDenied = 49,
  // Unmap and close that segment.
  kSegmentRelease = 50,
  // Answer to kSegmentRequest: segment ID and size; one descriptor.
  kValueSegment = 51,
};

struct WorkerName {
  uint32_t index;
  uint32_t generation;
};

struct ReadyBody {
  uint32_t protocol_version;
  uint32_t pid;
};
struct ForkBody {
  WorkerName worker;
  uint32_t dedicated;  // 1: the worker runs one task and ends with its exit code
  uint32_t reserved;
};
struct ForkedBody {
  WorkerName worker;
  uint32_t pid;
  uint32_t reserved;
};
struct ForkFailedBody {
  WorkerName worker;
  int32_t error_number;
  uint32_t reserved;
};
struct ExitedBody {
  WorkerName worker;
  uint32_t pid;
  int32_t wait_status;  // as wait4(2) gives it
  int64_t user_cpu_ns;
  int64_t system_cpu_ns;
  int64_t max_rss_bytes;
  int64_t minor_faults;
  int64_t major_faults;
  int64_t voluntary_switches;
  int64_t involuntary_switches;
};
struct WorkerReadyBody {
  WorkerName worker;
};
// kSegment, kValueSegment, kSegmentRequest (id 0), kSegmentDenied (id 0), kSegmentRelease
struct SegmentBody {
  uint64_t segment_id;
  uint64_t size_bytes;
};

}  // namespace prefork::zygote

#endif  // PREFORK_COMMON_ZYGOTE_PROTOCOL_H_
