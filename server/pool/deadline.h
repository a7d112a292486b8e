#ifndef PREFORK_SERVER_POOL_DEADLINE_H_
#define PREFORK_SERVER_POOL_DEADLINE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "common/os/event_loop.h"

namespace prefork::pool {

// A timer of the event loop that its owner sets, moves and cancels; gone with its owner. `loop` is
// not owned.
class Deadline {
 public:
  explicit Deadline(os::EventLoop* loop) : loop_(loop) {}
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() { Cancel(); }

  // Runs `action` once, `from_now` from now, instead of what was set before. Never, if that is
  // further away than the clock can count.
  void Set(absl::Duration from_now, std::function<void()> action) {
    const int64_t now_ns = loop_->clock()->MonotonicNs();
    const int64_t wait_ns = absl::ToInt64Nanoseconds(from_now);
    if (wait_ns >= std::numeric_limits<int64_t>::max() - now_ns) return Cancel();
    SetAt(now_ns + wait_ns, std::move(action));
  }
  // The same at a time of the monotonic clock.
  void SetAt(int64_t when_ns, std::function<void()> action) {
    Cancel();
    timer_ = loop_->AddTimer(when_ns, [this, action = std::move(action)] {
      timer_.reset();
      action();
    });
  }
  void Cancel() {
    if (timer_) loop_->CancelTimer(*timer_);
    timer_.reset();
  }
  bool armed() const { return timer_.has_value(); }

 private:
  os::EventLoop* const loop_;
  std::optional<os::EventLoop::TimerId> timer_;
};

}  // namespace prefork::pool

#endif  // PREFORK_SERVER_POOL_DEADLINE_H_
