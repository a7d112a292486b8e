#ifndef PREFORK_TESTS_SERVER_WORKER_FAKE_TASK_CONTEXT_H_
#define PREFORK_TESTS_SERVER_WORKER_FAKE_TASK_CONTEXT_H_

#include <poll.h>

#include <atomic>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/worker/runtime.h"

namespace prefork::worker_testing {

// Records what a task asked of its worker.
class FakeTaskContext : public worker::TaskContext {
 public:
  bool Cancelled() const override { return cancelled; }
  void Progress(double done, double total, std::string_view text) override {
    progress.push_back({done, total, std::string(text)});
  }
  absl::Status Emit(std::string_view value, std::string_view) override {
    if (!room.ok()) return room;
    partials.emplace_back(value);
    return absl::OkStatus();
  }
  absl::StatusOr<std::span<char>> AllocateValue(size_t size_bytes) override {
    if (!room.ok()) return room;
    allocated.assign(size_bytes, '?');
    return std::span<char>(allocated);
  }
  absl::StatusOr<std::span<char>> KeepPayload(uint64_t) override {
    return absl::UnimplementedError("no segments here");
  }
  uint32_t worker_index() const override { return 3; }
  void WaitReadable(int fd) override {
    pollfd readable = {fd, POLLIN, 0};
    while (poll(&readable, 1, -1) < 1) {
    }
  }

  struct ProgressCall {
    double done;
    double total;
    std::string text;
  };
  std::atomic<bool> cancelled = false;
  absl::Status room;  // what large values meet
  std::vector<ProgressCall> progress;
  std::vector<std::string> partials;
  std::string allocated;
};

}  // namespace prefork::worker_testing

#endif  // PREFORK_TESTS_SERVER_WORKER_FAKE_TASK_CONTEXT_H_
