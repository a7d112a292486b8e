#include "common/shm/lane_sleeper.h"

#include <sys/epoll.h>

#include <cerrno>
#include <ctime>

#include "common/os/check.h"
#include "common/os/clock.h"
#include "common/os/errno_status.h"

namespace prefork::shm {
namespace {

// Looks at the queue between two readings of the clock.
constexpr int kLooksPerClockReading = 64;

void PauseCpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

absl::Status Add(int epoll, int fd, uint32_t events) {
  epoll_event event = {events, {.fd = fd}};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0) return absl::OkStatus();
  return os::ErrnoStatus(errno, "epoll_ctl(EPOLL_CTL_ADD) of a lane's descriptor");
}

}  // namespace

absl::StatusOr<LaneSleeper> LaneSleeper::Create(LaneGuest* lane, int control_fd) {
  os::Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return os::ErrnoStatus(errno, "epoll_create1");
  // Edge-triggered: each write of the eventfd wakes, so its counter need never be read.
  absl::Status status = Add(epoll.get(), lane->down_eventfd(), EPOLLIN | EPOLLET);
  status.Update(Add(epoll.get(), control_fd, EPOLLIN | EPOLLRDHUP));
  if (!status.ok()) return status;
  return LaneSleeper(lane, std::move(epoll));
}

LaneSleeper::Wakeup LaneSleeper::WaitForWork(int64_t spin_ns, int64_t timeout_ns) {
  QueueConsumer& down = lane_->down();
  if (SpinForWork(spin_ns)) return {.records = true};
  if (!down.PrepareSleep()) return {.records = true};
  Wakeup wakeup = Sleep(timeout_ns);
  down.CancelSleep();
  wakeup.records = down.HasRecords();
  return wakeup;
}

bool LaneSleeper::SpinForWork(int64_t spin_ns) {
  QueueConsumer& down = lane_->down();
  if (down.HasRecords()) return true;
  if (spin_ns <= 0) return false;
  const os::Clock* const clock = os::Clock::System();
  const int64_t end_ns = clock->MonotonicNs() + spin_ns;
  do {
    for (int look = 0; look < kLooksPerClockReading; ++look) {
      PauseCpu();
      if (down.HasRecords()) return true;
    }
  } while (clock->MonotonicNs() < end_ns);
  return false;
}

LaneSleeper::Wakeup LaneSleeper::WaitForRoom(size_t body_bytes, int64_t timeout_ns) {
  QueueProducer& up = lane_->up();
  Wakeup wakeup;
  up.SetWaiting(true);
  if (!up.HasRoom(body_bytes)) wakeup = Sleep(timeout_ns);
  up.SetWaiting(false);
  wakeup.records = lane_->down().HasRecords();
  return wakeup;
}

LaneSleeper::Wakeup LaneSleeper::Sleep(int64_t timeout_ns) {
  const timespec timeout = {timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  epoll_event events[2];
  const int count =
      epoll_pwait2(epoll_.get(), events, 2, timeout_ns < 0 ? nullptr : &timeout, nullptr);
  PREFORK_CHECK(count >= 0 || errno == EINTR);
  Wakeup wakeup;
  for (int i = 0; i < count; ++i) wakeup.control |= events[i].data.fd != lane_->down_eventfd();
  return wakeup;
}

}  // namespace prefork::shm
