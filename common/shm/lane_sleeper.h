#ifndef PREFORK_COMMON_SHM_LANE_SLEEPER_H_
#define PREFORK_COMMON_SHM_LANE_SLEEPER_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "common/os/fd.h"
#include "common/shm/lane.h"

namespace prefork::shm {

// How a worker waits for work: it spins for `spin_ns`, then announces its sleep in the lane and
// sleeps in epoll_wait on the lane's down eventfd and its control socket. One system call a sleep,
// none while tasks keep coming.
class LaneSleeper {
 public:
  // `lane` is not owned and outlives the sleeper, as does `control_fd`. Fails when epoll_create1
  // does.
  static absl::StatusOr<LaneSleeper> Create(LaneGuest* lane, int control_fd);

  struct Wakeup {
    bool records = false;  // the down queue may have records
    bool control = false;  // the control socket is readable or closed
  };
  // Returns when the down queue has records, the control socket is readable or `timeout_ns`
  // (negative: none) is over. `spin_ns` 0 never spins: right when the host has fewer free cores
  // than runnable processes.
  Wakeup WaitForWork(int64_t spin_ns, int64_t timeout_ns);

  // Sleeps until the engine made room in the full up queue. The caller tries its Reserve again
  // afterwards. A readable control socket ends the wait too, so that the end of the daemon is seen.
  Wakeup WaitForRoom(size_t body_bytes, int64_t timeout_ns);

 private:
  LaneSleeper(LaneGuest* lane, os::Fd epoll) : lane_(lane), epoll_(std::move(epoll)) {}
  bool SpinForWork(int64_t spin_ns);
  Wakeup Sleep(int64_t timeout_ns);
  LaneGuest* lane_;
  os::Fd epoll_;
};

}  // namespace prefork::shm

#endif  // PREFORK_COMMON_SHM_LANE_SLEEPER_H_
