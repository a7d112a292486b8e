#include "server/worker/command_runtime.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/os/pidfd.h"
#include "common/zygote/command_codec.h"
#include "server/worker/command_process.h"

namespace prefork::worker {
namespace {

int64_t Nanoseconds(const timeval& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + int64_t{time.tv_usec} * 1'000;
}

void Fail(TaskEnd& end, std::string error, int exit_code) {
  end.outcome = shm::TaskOutcome::kFailed;
  end.error = std::move(error);
  end.wait_status = W_EXITCODE(exit_code, 0);
}

}  // namespace

void CommandRuntime::Run(const TaskView& task, TaskContext& context, TaskEnd& end) {
  const absl::StatusOr<zygote::CommandBlock> command = zygote::DecodeCommand(task.payload);
  if (!command.ok()) return Fail(end, std::string(command.status().message()), 126);
  if (context.Cancelled()) {
    end.outcome = shm::TaskOutcome::kCancelled;
    return;
  }
  StartedCommand started = StartCommand(*command);
  if (!started.process.valid()) return Fail(end, std::move(started.error), started.exit_code);
  // The daemon says so first and signals our descendants second: it may have come too early to find
  // this one.
  if (context.Cancelled()) started.process.SendSignal(SIGTERM).IgnoreError();

  context.WaitReadable(started.process.fd());
  const absl::StatusOr<std::optional<os::Pidfd::Exit>> exit = started.process.Reap(/*wait=*/true);
  if (!exit.ok()) return Fail(end, std::string(exit.status().message()), 126);
  const os::Pidfd::Exit& last = **exit;
  end.outcome = shm::TaskOutcome::kExited;
  end.wait_status = last.wait_status;
  end.cpu_ns = Nanoseconds(last.usage.ru_utime) + Nanoseconds(last.usage.ru_stime);
  end.peak_rss_bytes = static_cast<uint64_t>(last.usage.ru_maxrss) * 1024;
}

}  // namespace prefork::worker
