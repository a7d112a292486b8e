#ifndef PREFORK_COMMON_OS_EVENT_LOOP_H_
#define PREFORK_COMMON_OS_EVENT_LOOP_H_

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/os/clock.h"
#include "common/os/fd.h"

namespace prefork::os {

// An epoll loop owned by one thread: descriptors, timers and closures posted from other threads. It
// sleeps in epoll_wait without a periodic tick. All methods but Post() and Stop() belong to the
// loop's thread.
class EventLoop {
 public:
  using Callback = absl::AnyInvocable<void()>;
  using FdCallback = std::function<void(uint32_t epoll_events)>;
  using TimerId = uint64_t;

  // `clock` is not owned and outlives the loop. Fails when epoll_create1 or eventfd does.
  static absl::StatusOr<std::unique_ptr<EventLoop>> Create(Clock* clock);
  ~EventLoop();

  // Watches `fd` (not owned) for `events` (EPOLLIN, EPOLLET, ...). The callback may remove any
  // watch, its own too.
  absl::Status Watch(int fd, uint32_t events, FdCallback callback);
  absl::Status Modify(int fd, uint32_t events);
  // Must be called before the descriptor is closed. After it the callback is not run again, even
  // for events that were already fetched.
  void Unwatch(int fd);

  // Runs `callback` once when the monotonic clock has reached `deadline_ns`. Returns an ID for
  // CancelTimer.
  TimerId AddTimer(int64_t deadline_ns, Callback callback);
  void CancelTimer(TimerId id);

  // Thread-safe: runs `callback` on the loop's thread, in posting order per thread. Wakes the loop
  // only if it sleeps.
  void Post(Callback callback);

  // Runs on every pass, after descriptors, timers and posts and before sleeping. Returns true if it
  // made progress and wants another pass before the loop may sleep. Used for queues that are
  // checked, not signalled. `arm` is called right before sleeping (announce "I sleep"), then `run`
  // once more; the loop sleeps only if that made no progress either. `disarm` is called after
  // waking, or when the sleep was called off.
  struct PassHandler {
    std::function<bool()> run;
    std::function<void()> arm;
    std::function<void()> disarm;
  };
  void SetPassHandler(PassHandler handler);

  // Runs until Stop(); what was posted before Stop() is still run. RunOnce makes one pass and waits
  // at most `max_wait_ns` (negative: no bound) for its first event; for tests.
  void Run();
  void RunOnce(int64_t max_wait_ns);
  // Thread-safe.
  void Stop();

  Clock* clock() const { return clock_; }
  // How often the loop woke from a sleep; the idle benchmark and `prefork doctor` read it.
  // Thread-safe.
  uint64_t wakeups() const { return wakeups_.load(std::memory_order_relaxed); }

 private:
  struct Watched {
    uint32_t
        generation;  // tells an event of this watch from one of an earlier watch of the same number
    FdCallback callback;
  };
  using TimerKey = std::pair<int64_t, TimerId>;  // deadline first

  EventLoop(Clock* clock, Fd epoll, Fd wake);
  bool Pass(int64_t max_wait_ns);
  int64_t NextWaitNs(int64_t max_wait_ns) const;
  bool FallAsleep();
  int Wait(int64_t wait_ns);
  void DispatchEvents(int count);
  void FireTimers();
  void RunPosted();
  bool RunPassHandler() { return pass_handler_.run && pass_handler_.run(); }

  Clock* const clock_;
  const Fd epoll_;
  const Fd wake_;  // eventfd, edge-triggered
  std::atomic<uint64_t> wakeups_{0};

  // The loop thread's own.
  absl::flat_hash_map<int, std::shared_ptr<Watched>> watches_;
  uint32_t next_generation_ = 1;
  absl::btree_map<TimerKey, Callback> timers_;
  absl::flat_hash_map<TimerId, int64_t> timer_deadlines_ns_;
  TimerId next_timer_ = 1;
  PassHandler pass_handler_;
  bool progress_ = false;  // the pass handler wants another pass
  std::vector<epoll_event> events_;
  std::vector<Callback> running_;  // posts of this pass; kept for its memory

  absl::Mutex mutex_;
  std::vector<Callback> posted_ ABSL_GUARDED_BY(mutex_);
  bool asleep_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_EVENT_LOOP_H_
