// Three things can end a wait: the task's end, the timeout, the client's going. Each runs on the engine's
// thread, takes the others back and leaves `done` empty, so what was under way finds nothing to do.
#include "server/rpc/wait_call.h"

#include <chrono>
#include <memory>
#include <utility>

#include "grpcpp/alarm.h"

namespace prefork::rpc {
namespace {

// Engine thread.
struct Wait {
  std::function<void(const engine::TaskInfo&)> done;  // null: over
  std::unique_ptr<grpc::Alarm> timer;  // it holds us as long as it is there, gone off or not
  uint64_t wait_id = 0;

  // Ends the wait; null when it was over already. What `done` refers to is let go with it.
  std::function<void(const engine::TaskInfo&)> End() {
    timer.reset();
    return std::exchange(done, nullptr);
  }
};

void StartTimer(const std::shared_ptr<UnaryCall>& call, const std::shared_ptr<Wait>& wait,
                engine::TaskId task, absl::Duration timeout) {
  const std::chrono::system_clock::time_point deadline = absl::ToChronoTime(absl::Now() + timeout);
  wait->timer = std::make_unique<grpc::Alarm>();
  wait->timer->Set(deadline, [call, wait, task](bool expired) {
    if (!expired) return;  // cancelled
    call->engine().Post([call, wait, task] {
      const auto done = wait->End();
      if (!done) return;
      call->engine().CancelWait(wait->wait_id);
      const absl::StatusOr<engine::TaskInfo> info = call->engine().Get(call->caller(), task);
      if (info.ok()) {
        done(*info);
      } else {
        call->Fail(info.status());
      }
    });
  });
}

}  // namespace

void WaitForTask(const std::shared_ptr<UnaryCall>& call, engine::TaskId task,
                 std::optional<absl::Duration> timeout,
                 std::function<void(const engine::TaskInfo&)> done) {
  auto wait = std::make_shared<Wait>();
  wait->done = std::move(done);
  const absl::StatusOr<uint64_t> wait_id =
      call->engine().WhenTerminal(call->caller(), task, [wait](const engine::TaskInfo& info) {
        if (const auto done = wait->End()) done(info);
      });
  if (!wait_id.ok()) {
    call->Fail(wait_id.status());
    return;
  }
  if (!wait->done) return;
  wait->wait_id = *wait_id;
  if (timeout.has_value()) StartTimer(call, wait, task, *timeout);
  call->UndoOnCancel([call = call.get(), wait] {
    if (wait->End()) call->engine().CancelWait(wait->wait_id);
  });
}

}  // namespace prefork::rpc
