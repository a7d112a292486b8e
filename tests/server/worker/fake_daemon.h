#ifndef PREFORK_TESTS_SERVER_WORKER_FAKE_DAEMON_H_
#define PREFORK_TESTS_SERVER_WORKER_FAKE_DAEMON_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/os/fd.h"
#include "common/os/pidfd.h"
#include "common/shm/lane.h"
#include "common/shm/segment.h"
#include "common/zygote/control_socket.h"
#include "common/zygote/message.h"

namespace prefork::worker_testing {

// Nothing that a test waits for takes longer, on any machine.
inline constexpr absl::Duration kPatience = absl::Seconds(30);

struct TaskSpec {
  uint64_t id = 1;
  std::string function = {};
  std::string payload = {};
  std::string content_type = {};
  uint32_t flags = 0;
  uint32_t attempt = 1;
  uint64_t segment_id = 0;      // not 0: the payload is in that segment
  uint64_t segment_offset = 0;  // from here on
  uint64_t segment_bytes = 0;   // and so long
};

struct FinishedTask {
  shm::FinishedRecord record;
  std::string error;
  std::string content_type;
  std::string value;  // inline, or copied from its segment
  shm::TaskOutcome outcome() const { return static_cast<shm::TaskOutcome>(record.outcome); }
};

// The daemon's ends of one worker, as a test uses them: publishes tasks, collects what comes back.
class FakeWorker {
 public:
  struct ProgressReport {
    uint64_t task_id;
    double done;
    double total;
    std::string text;
  };

  uint32_t index() const { return name_.index; }
  pid_t pid() const { return pidfd_.pid(); }
  const os::Pidfd& pidfd() const { return pidfd_; }
  shm::LaneOwner& lane() { return *lane_; }
  zygote::ControlSocket& control() { return control_; }
  bool ready() const { return ready_; }
  // What was wrong with the lane or the control socket, if anything.
  const absl::Status& status() const { return status_; }

  // Publishes the tasks at once. False when they do not all fit now.
  bool Submit(const std::vector<TaskSpec>& tasks);
  // Where the tasks submitted lie in the down queue, in their order.
  const std::vector<shm::RecordPosition>& positions() const { return positions_; }
  // Asks a task to stop, as the engine does.
  void Cancel(uint64_t task_id);
  // A segment for a task to name, filled with `content`.
  absl::StatusOr<uint64_t> Lend(std::string_view content);
  // What RequestSegment is answered from now on; OK: with a segment.
  void SetRoom(absl::Status room) { room_ = std::move(room); }

  // Collects results, output and requests until `done`, or until `patience` is over (false).
  bool PumpUntil(const std::function<bool()>& done, absl::Duration patience = kPatience);
  // Collects what is there, without waiting.
  void Pump();
  // Waits for the end of the task; fails the test and returns an empty one if it does not come.
  FinishedTask WaitFinished(uint64_t task_id);
  // Submits one task and waits for its end.
  FinishedTask Run(const TaskSpec& task);

  const std::map<uint64_t, FinishedTask>& finished() const { return finished_; }
  const std::vector<uint64_t>& started() const { return started_; }
  const std::vector<ProgressReport>& progress() const { return progress_; }
  // Partial values in their order, by task.
  const std::map<uint64_t, std::vector<std::string>>& partials() const { return partials_; }
  // What the task wrote; stream is 1 or 2.
  std::string output(int stream, uint64_t task_id) const;
  // Had the task's output come whole when its end came?
  std::string output_at_end(int stream, uint64_t task_id) const;
  size_t segment_requests() const { return segment_requests_; }

 private:
  friend class FakeDaemon;
  void ReadOutput(int stream);
  void ReadControl();
  void ReadRecords();
  void TakeRecord(const shm::QueueConsumer::Record& record);
  std::string ValueOf(uint64_t segment_id, uint64_t bytes, std::string_view inline_bytes);

  zygote::WorkerName name_ = {};
  std::optional<shm::LaneOwner> lane_;
  zygote::ControlSocket control_;
  os::Fd streams_[2];
  os::Pidfd pidfd_;
  std::shared_ptr<shm::SegmentPool> segment_pool_;
  std::map<uint64_t, shm::SegmentRef> lent_;
  std::vector<shm::RecordPosition> positions_;
  absl::Status room_;
  absl::Status status_;
  bool ready_ = false;
  bool control_closed_ = false;
  size_t segment_requests_ = 0;
  std::map<uint64_t, FinishedTask> finished_;
  std::vector<uint64_t> started_;
  std::vector<ProgressReport> progress_;
  std::map<uint64_t, std::vector<std::string>> partials_;
  std::map<std::pair<int, uint64_t>, std::string> output_;
  std::map<std::pair<int, uint64_t>, std::string> output_at_end_;
};

// Starts a real zygote and speaks the daemon's side of the protocol with it.
class FakeDaemon {
 public:
  struct Options {
    std::string program;
    std::vector<std::string> arguments;  // without the program's name
    std::vector<std::string> env;        // on top of the test's own
    size_t down_bytes = 128 << 10;
    size_t up_bytes = 128 << 10;
  };
  // Starts the program; does not wait for READY.
  static absl::StatusOr<std::unique_ptr<FakeDaemon>> Start(Options options);
  // Closes the socket, and kills what is left.
  ~FakeDaemon();

  // The next message of the zygote. DEADLINE_EXCEEDED after `patience`; see zygote::IsClosed.
  absl::StatusOr<zygote::ControlSocket::Received> NextMessage(absl::Duration patience = kPatience);
  // The next message, which must be of this type.
  template <typename Message>
  absl::StatusOr<Message> Expect(absl::Duration patience = kPatience) {
    absl::StatusOr<zygote::ControlSocket::Received> received = NextMessage(patience);
    if (!received.ok()) return received.status();
    if (auto* message = std::get_if<Message>(&received->message)) return std::move(*message);
    return absl::InternalError("another message: " + zygote::TypeName(static_cast<uint32_t>(
                                                         zygote::TypeOf(received->message))));
  }

  // Sends FORK and waits for FORKED, then (with `wait_ready`) for WORKER_READY.
  absl::StatusOr<std::unique_ptr<FakeWorker>> Fork(uint32_t index, bool dedicated = false,
                                                   bool wait_ready = true);

  // Closes the daemon's end of the zygote's socket.
  void CloseSocket() { socket_.Close(); }
  zygote::ControlSocket& socket() { return socket_; }
  const os::Pidfd& zygote() const { return zygote_; }
  // Reaps the zygote; its wait status, or nothing when it has not ended after `patience`.
  std::optional<int> WaitZygoteEnd(absl::Duration patience = kPatience);

 private:
  Options options_;
  zygote::ControlSocket socket_;
  os::Pidfd zygote_;
  bool reaped_ = false;
  uint32_t next_generation_ = 1;
  std::shared_ptr<shm::SegmentPool> segment_pool_ =
      shm::SegmentPool::Create(shm::SegmentPoolOptions());
};

// Waits on a pidfd. False when the process still runs after `patience`.
bool WaitExit(const os::Pidfd& process, absl::Duration patience = kPatience);
// Waits until no process of that number is left that is alive (zombies are not).
bool WaitGone(pid_t pid, absl::Duration patience = kPatience);

}  // namespace prefork::worker_testing

#endif  // PREFORK_TESTS_SERVER_WORKER_FAKE_DAEMON_H_
