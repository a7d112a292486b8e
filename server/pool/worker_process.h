#ifndef PREFORK_SERVER_POOL_WORKER_PROCESS_H_
#define PREFORK_SERVER_POOL_WORKER_PROCESS_H_

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/os/event_loop.h"
#include "common/os/pidfd.h"
#include "common/zygote/control_socket.h"
#include "server/pool/deadline.h"
#include "server/pool/oom_proof.h"
#include "server/pool/orphan_reaper.h"
#include "server/pool/output_pipe.h"
#include "server/pool/pool_observer.h"
#include "server/pool/text_tail.h"
#include "server/pool/worker.h"
#include "server/pool/worker_end.h"
#include "server/pool/worker_segments.h"
#include "server/pool/worker_state.h"

namespace prefork::pool {

class WorkerProcess;

// What a worker process tells the pool that holds it.
class WorkerProcessHost {
 public:
  virtual ~WorkerProcessHost() = default;
  // It has a pid; the first call.
  virtual void OnStarting(WorkerProcess& worker) = 0;
  virtual void OnReady(WorkerProcess& worker) = 0;
  virtual void OnLaneReadable(WorkerProcess& worker) = 0;
  virtual void OnOutput(WorkerProcess& worker, int stream, uint64_t task_id,
                        std::string_view bytes) = 0;
  virtual void OnSegmentRequest(WorkerProcess& worker, uint64_t size_bytes) = 0;
  // The process has ended; OnExited follows when everything of it is gone.
  virtual void OnDied(WorkerProcess& worker) = 0;
  // It has ended long ago, but its zygote does not say how.
  virtual void OnStatusOverdue(WorkerProcess& worker) = 0;
  // The last call. The host destroys the worker later, not inside.
  virtual void OnExited(WorkerProcess& worker, const WorkerExit& exit) = 0;
};

struct WorkerProcessOptions {
  uint32_t index = 0;
  uint32_t generation = 0;
  bool dedicated = false;
  uint64_t cookie = 0;
  absl::Duration start_timeout;  // from fork to READY
};

// One worker of a zygote: its lane, control socket, output pipes, pidfd and segments. The design
// note is in worker_process.cc.
class WorkerProcess final : public Worker {
 public:
  struct Environment {  // nothing is owned
    os::EventLoop* loop;
    OrphanReaper* orphans;
    OomProof* oom_proof;
    WorkerProcessHost* host;
  };

  // Makes what the worker will be given. RESOURCE_EXHAUSTED when memory or descriptors run out.
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Prepare(const WorkerProcessOptions& options,
                                                                const Environment& environment);
  ~WorkerProcess() override;

  // The descriptors that go with FORK, in the protocol's order; ours are closed by
  // CloseGivenDescriptors once the message is on its way.
  std::array<int, zygote::kForkDescriptorCount> GivenDescriptors() const;
  void CloseGivenDescriptors();

  // What the zygote says. `pidfd` is invalid when the worker has ended and was reaped already.
  void OnForked(pid_t pid, os::Pidfd pidfd);
  void OnForkFailed();
  // Returns false when that can't be, as the process lives.
  bool OnReaped(const zygote::ExitedBody& exited);
  // The zygote is dead and all its messages were delivered: we are the parent now.
  void OnZygoteGone();

  // Ends it politely: its control socket is closed. Killed when it lives on after `patience`.
  void Retire(ExitReason reason, absl::Duration patience);

  WorkerState state() const { return state_; }
  // What it was killed or asked to end for; kNone: it ended, if it did, by itself.
  ExitReason asked() const { return end_.asked(); }
  // 0: it never was.
  int64_t ready_ns() const { return ready_ns_; }
  // What it wrote to stderr until it was ready.
  std::string stderr_tail() const { return stderr_tail_.text(); }

  uint32_t index() const override { return options_.index; }
  uint32_t generation() const override { return options_.generation; }
  int32_t pid() const override { return pid_; }
  bool dedicated() const override { return options_.dedicated; }
  uint64_t dedicated_cookie() const override { return options_.cookie; }
  bool ready() const override { return state_ == WorkerState::kReady; }
  absl::Time started_at() const override { return started_at_; }
  shm::LaneOwner& lane() override { return lane_; }
  absl::Status SendSegment(const shm::SegmentRef& segment) override {
    return segments_.Send(segment);
  }
  absl::Status GrantSegment(const shm::SegmentRef& segment) override {
    return segments_.Grant(segment);
  }
  absl::Status DenySegment(uint64_t size_bytes, std::string_view why) override {
    return segments_.Deny(size_bytes, why);
  }
  shm::SegmentRef FindSegment(uint64_t segment_id) const override {
    return segments_.Find(segment_id);
  }
  void ReleaseSegment(uint64_t segment_id) override { segments_.Release(segment_id); }
  absl::Status SignalTree(int signal, bool include_worker) override;
  void ExpectEnd(ExitReason reason, std::string_view detail) override {
    end_.Expect(reason, detail);
  }
  void Kill(ExitReason reason, std::string_view detail) override;

 private:
  WorkerProcess(const WorkerProcessOptions& options, const Environment& environment,
                shm::LaneOwner lane);

  void Apply(WorkerEvent event);
  absl::Status WatchProcess();
  absl::Status WatchLaneAndOutput();
  void OnControlReadable();
  void OnControlWritable();
  void OnControlMessage(const zygote::Message& message);
  void OnControlEnd();
  size_t ReadOutput(OutputPipe& pipe, int stream);

  void KillTree();
  void OnProcessEnded();
  void ReapAdopted();
  void SettleIfComplete();
  void Settle();

  const WorkerProcessOptions options_;
  const Environment environment_;
  WorkerState state_ = WorkerState::kForking;
  shm::LaneOwner lane_;
  zygote::ControlSocket control_, given_control_;
  os::Fd stdout_read_, stderr_read_, given_stdout_, given_stderr_;
  OutputPipe stdout_, stderr_;
  os::Pidfd pidfd_;
  pid_t pid_ = 0;
  absl::Time started_at_;
  int64_t ready_ns_ = 0;
  Deadline deadline_;  // the one bound on what the state waits for
  WorkerSegments segments_;
  TextTail stderr_tail_;

  bool was_ready_ = false;
  bool adopted_ = false;
  bool killed_ = false;
  WorkerEnd end_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_WORKER_PROCESS_H_
