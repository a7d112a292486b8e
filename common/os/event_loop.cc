// One pass of the loop:
//
//        +-> decide the wait: 0 if the pass handler made progress, else until the earliest timer
//        |   arm()  ->  run() once more; progress calls the sleep off
//        |   under the mutex: posts or stop pending? call the sleep off, else asleep_ = true
//        |   epoll_pwait2
//        |   asleep_ = false, disarm()
//        |   descriptors -> timers -> posts -> pass handler
//        +---------------------------------------------------+
//
// Wake-up: Post() and Stop() append under the mutex and write the eventfd only when they find
// asleep_ set, which they clear, so a burst of posts costs one system call. As the flag and the
// queue share a mutex, no wake-up can be lost. Shared memory has no mutex: its producers look at a
// flag that arm() sets, and arm() is followed by one more look (run).
//
// Safety: a callback may remove any watch. An event carries the number and the generation of its
// watch, and is dropped when that watch is gone or was replaced, even when epoll had reported it
// before.
#include "common/os/event_loop.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/os/check.h"
#include "common/os/errno_status.h"
#include "common/os/eventfd.h"

namespace prefork::os {
namespace {

constexpr size_t kEventsPerWait = 128;
constexpr int64_t kForever = -1;

uint64_t EventData(int fd, uint32_t generation) {
  return uint64_t{generation} << 32 | static_cast<uint32_t>(fd);
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create(Clock* clock) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  absl::StatusOr<Fd> wake = CreateEventfd();
  if (!wake.ok()) return wake.status();
  epoll_event event = {EPOLLIN | EPOLLET, {.u64 = EventData(wake->get(), 0)}};
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake->get(), &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl(EPOLL_CTL_ADD) of the loop's eventfd");
  }
  return std::unique_ptr<EventLoop>(new EventLoop(clock, std::move(epoll), *std::move(wake)));
}

EventLoop::EventLoop(Clock* clock, Fd epoll, Fd wake)
    : clock_(clock), epoll_(std::move(epoll)), wake_(std::move(wake)), events_(kEventsPerWait) {}

EventLoop::~EventLoop() = default;

absl::Status EventLoop::Watch(int fd, uint32_t events, FdCallback callback) {
  const uint32_t generation = next_generation_++;
  epoll_event event = {events, {.u64 = EventData(fd, generation)}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoStatus(errno, absl::StrCat("epoll_ctl(EPOLL_CTL_ADD) of descriptor ", fd));
  }
  watches_[fd] = std::make_shared<Watched>(Watched{generation, std::move(callback)});
  return absl::OkStatus();
}

absl::Status EventLoop::Modify(int fd, uint32_t events) {
  const auto watch = watches_.find(fd);
  if (watch == watches_.end()) {
    return absl::NotFoundError(absl::StrCat("descriptor ", fd, " is not watched"));
  }
  epoll_event event = {events, {.u64 = EventData(fd, watch->second->generation)}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    return ErrnoStatus(errno, absl::StrCat("epoll_ctl(EPOLL_CTL_MOD) of descriptor ", fd));
  }
  return absl::OkStatus();
}

void EventLoop::Unwatch(int fd) {
  if (watches_.erase(fd) == 0) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::AddTimer(int64_t deadline_ns, Callback callback) {
  const TimerId id = next_timer_++;
  timers_.emplace(TimerKey(deadline_ns, id), std::move(callback));
  timer_deadlines_ns_.emplace(id, deadline_ns);
  return id;
}

void EventLoop::CancelTimer(TimerId id) {
  const auto timer = timer_deadlines_ns_.find(id);
  if (timer == timer_deadlines_ns_.end()) return;
  timers_.erase(TimerKey(timer->second, id));
  timer_deadlines_ns_.erase(timer);
}

void EventLoop::Post(Callback callback) {
  bool wake;
  {
    absl::MutexLock lock(&mutex_);
    posted_.push_back(std::move(callback));
    wake = std::exchange(asleep_, false);
  }
  if (wake) SignalEventfd(wake_.get());
}

void EventLoop::Stop() {
  bool wake;
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    wake = std::exchange(asleep_, false);
  }
  if (wake) SignalEventfd(wake_.get());
}

void EventLoop::SetPassHandler(PassHandler handler) { pass_handler_ = std::move(handler); }

void EventLoop::Run() {
  while (Pass(kForever)) {
  }
}

void EventLoop::RunOnce(int64_t max_wait_ns) { Pass(max_wait_ns); }

// Returns false once after Stop().
bool EventLoop::Pass(int64_t max_wait_ns) {
  int64_t wait_ns = NextWaitNs(max_wait_ns);
  bool armed = false;
  if (wait_ns != 0 && pass_handler_.arm) {
    pass_handler_.arm();
    armed = true;
    progress_ = RunPassHandler();
    wait_ns = NextWaitNs(max_wait_ns);  // the handler may have added a timer
  }
  if (wait_ns != 0 && !FallAsleep()) wait_ns = 0;
  const int count = Wait(wait_ns);
  bool stop;
  {
    absl::MutexLock lock(&mutex_);
    asleep_ = false;
    stop = std::exchange(stop_, false);
  }
  if (armed && pass_handler_.disarm) pass_handler_.disarm();
  DispatchEvents(count);
  FireTimers();
  RunPosted();
  progress_ = RunPassHandler();
  return !stop;
}

// Negative: for ever.
int64_t EventLoop::NextWaitNs(int64_t max_wait_ns) const {
  if (progress_ || max_wait_ns == 0) return 0;
  if (timers_.empty()) return max_wait_ns;
  const int64_t until_timer_ns =
      std::max<int64_t>(0, timers_.begin()->first.first - clock_->MonotonicNs());
  return max_wait_ns < 0 ? until_timer_ns : std::min(max_wait_ns, until_timer_ns);
}

bool EventLoop::FallAsleep() {
  absl::MutexLock lock(&mutex_);
  asleep_ = posted_.empty() && !stop_;
  return asleep_;
}

int EventLoop::Wait(int64_t wait_ns) {
  const timespec timeout = {wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
  const int count = epoll_pwait2(epoll_.get(), events_.data(), static_cast<int>(events_.size()),
                                 wait_ns < 0 ? nullptr : &timeout, nullptr);
  if (wait_ns != 0) wakeups_.fetch_add(1, std::memory_order_relaxed);
  PREFORK_CHECK(count >= 0 || errno == EINTR);
  return count;
}

void EventLoop::DispatchEvents(int count) {
  for (int i = 0; i < count; ++i) {
    const uint64_t data = events_[i].data.u64;
    const auto watch = watches_.find(static_cast<int>(data & 0xffffffff));
    if (watch == watches_.end() || watch->second->generation != data >> 32) continue;
    const std::shared_ptr<Watched> watched = watch->second;  // lives on if its callback unwatches
    watched->callback(events_[i].events);
  }
}

void EventLoop::FireTimers() {
  if (timers_.empty()) return;
  const int64_t now_ns = clock_->MonotonicNs();
  const TimerId end = next_timer_;  // timers added by these callbacks wait for the next pass
  while (!timers_.empty() && timers_.begin()->first.first <= now_ns &&
         timers_.begin()->first.second < end) {
    const auto timer = timers_.begin();
    Callback callback = std::move(timer->second);
    timer_deadlines_ns_.erase(timer->first.second);
    timers_.erase(timer);
    callback();
  }
}

void EventLoop::RunPosted() {
  {
    absl::MutexLock lock(&mutex_);
    running_.swap(posted_);
  }
  for (Callback& callback : running_) callback();
  running_.clear();
}

}  // namespace prefork::os
