#include "server/worker/worker_main.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/os/errno_status.h"
#include "common/os/signal.h"
#include "common/shm/lane.h"
#include "common/shm/lane_sleeper.h"
#include "common/zygote/control_socket.h"
#include "common/zygote/message.h"
#include "server/worker/daemon_link.h"
#include "server/worker/output_capture.h"
#include "server/worker/process_title.h"
#include "server/worker/worker_loop.h"
#include "server/worker/worker_signals.h"

namespace prefork::worker {
namespace {

// When memory runs out the kernel should take a worker, whose task can be retried, before the
// daemon or its zygotes. Half of the scale, so that an administrator can still say otherwise.
constexpr std::string_view kOomScoreAdjustment = "500";

[[noreturn]] void EndUnborn(const absl::Status& why) {
  std::fprintf(stderr, "prefork-worker: can't start: %s\n", std::string(why.message()).c_str());
  _exit(1);
}

void RaiseOomScore() {
  const os::Fd file(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return;  // no /proc: then the kernel's own choice stands
  [[maybe_unused]] const ssize_t written =
      write(file.get(), kOomScoreAdjustment.data(), kOomScoreAdjustment.size());
}

// stdin is empty; stdout and stderr are the pipes.
absl::Status TakeStreams(const os::Fd& out, const os::Fd& err) {
  const os::Fd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.valid()) return os::ErrnoStatus(errno, "open /dev/null");
  if (dup2(null.get(), STDIN_FILENO) < 0 || dup2(out.get(), STDOUT_FILENO) < 0 ||
      dup2(err.get(), STDERR_FILENO) < 0) {
    return os::ErrnoStatus(errno, "dup2 of a worker's stream");
  }
  // A watcher sees each line when it is written, not when 4096 bytes are full.
  setvbuf(stdout, nullptr, _IOLBF, 0);
  return absl::OkStatus();
}

}  // namespace

void WorkerMain(WorkerArguments arguments) {
  std::vector<os::Fd>& fds = arguments.fds;
  // Own session: the group of the worker is its own, and no terminal's signals reach it. Subreaper:
  // what its tasks leave behind stays below it.
  setsid();
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  os::ResetSignals();
  if (absl::Status status = TakeStreams(fds[zygote::kForkStdout], fds[zygote::kForkStderr]);
      !status.ok()) {
    EndUnborn(status);
  }
  fds[zygote::kForkStdout].Reset();
  fds[zygote::kForkStderr].Reset();
  SetProcessTitle(absl::StrCat("prefork: worker ", arguments.pool, "/", arguments.name.index, ".",
                               arguments.name.generation),
                  "prefork-worker");
  RaiseOomScore();

  DaemonLink link{zygote::ControlSocket(std::move(fds[zygote::kForkControl]))};
  InstallWorkerSignals(link.fd());
  if (arguments.observer != nullptr) {
    arguments.observer->OnWorkerStep(WorkerStep::kForked, {nullptr, link.fd(), 0});
  }
  absl::StatusOr<shm::LaneGuest> lane =
      shm::LaneGuest::Map(std::move(fds[zygote::kForkLane]), std::move(fds[zygote::kForkDownEvent]),
                          std::move(fds[zygote::kForkUpEvent]));
  if (!lane.ok()) EndUnborn(lane.status());
  absl::StatusOr<shm::LaneSleeper> sleeper = shm::LaneSleeper::Create(&*lane, link.fd());
  if (!sleeper.ok()) EndUnborn(sleeper.status());
  absl::StatusOr<OutputCapture> output = OutputCapture::Create(&lane->status(), &link);
  if (!output.ok()) EndUnborn(output.status());
  if (absl::Status status = arguments.runtime->StartWorker(arguments.name.index); !status.ok()) {
    EndUnborn(status);
  }
  WorkerLoop(&*lane, &*sleeper, &link, *std::move(output),
             {arguments.runtime, arguments.dedicated, arguments.observer})
      .Run();
}

}  // namespace prefork::worker
