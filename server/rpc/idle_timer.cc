#include "server/rpc/idle_timer.h"

#include <utility>

#include "absl/time/clock.h"
#include "grpcpp/alarm.h"

namespace prefork::rpc {

std::shared_ptr<IdleTimer> IdleTimer::Start(absl::Duration timeout, std::function<void()> on_idle) {
  auto timer = std::make_shared<IdleTimer>(timeout, std::move(on_idle));
  absl::MutexLock lock(&timer->mutex_);
  timer->SetAlarm(timer->last_sign_ + timeout);
  return timer;
}

IdleTimer::IdleTimer(absl::Duration timeout, std::function<void()> on_idle)
    : timeout_(timeout), on_idle_(std::move(on_idle)), last_sign_(absl::Now()) {}

IdleTimer::~IdleTimer() = default;

void IdleTimer::Touch() {
  absl::MutexLock lock(&mutex_);
  last_sign_ = absl::Now();
}

// The alarm holds the timer and the timer the alarm, until Stop or the end of the time.
void IdleTimer::SetAlarm(absl::Time when) {
  alarm_ = std::make_unique<grpc::Alarm>();
  alarm_->Set(absl::ToChronoTime(when),
              [timer = shared_from_this()](bool expired) { timer->OnAlarm(expired); });
}

void IdleTimer::OnAlarm(bool expired) {
  if (!expired) return;
  std::function<void()> on_idle;
  std::unique_ptr<grpc::Alarm> old;  // let go of without the lock: it may call back
  {
    absl::MutexLock lock(&mutex_);
    if (!on_idle_) return;
    old = std::move(alarm_);
    const absl::Time deadline = last_sign_ + timeout_;
    if (absl::Now() < deadline) return SetAlarm(deadline);
    on_idle = std::exchange(on_idle_, nullptr);
  }
  on_idle();
}

void IdleTimer::Stop() {
  std::function<void()> on_idle;
  std::unique_ptr<grpc::Alarm> old;
  {
    absl::MutexLock lock(&mutex_);
    on_idle.swap(on_idle_);
    old = std::move(alarm_);
  }
}

}  // namespace prefork::rpc
