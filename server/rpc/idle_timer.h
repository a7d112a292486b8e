#ifndef PREFORK_SERVER_RPC_IDLE_TIMER_H_
#define PREFORK_SERVER_RPC_IDLE_TIMER_H_

#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace grpc {
class Alarm;
}  // namespace grpc

namespace prefork::rpc {

// Tells once when nothing has happened for some time. A sign of life costs one look at the clock: the
// alarm is set again only when it has gone off too early. Thread-safe.
class IdleTimer : public std::enable_shared_from_this<IdleTimer> {
 public:
  // `on_idle` runs on one of gRPC's threads, and no more after Stop has returned, unless it runs then.
  static std::shared_ptr<IdleTimer> Start(absl::Duration timeout, std::function<void()> on_idle);
  IdleTimer(absl::Duration timeout, std::function<void()> on_idle);
  ~IdleTimer();

  void Touch();
  // Idempotent.
  void Stop();

 private:
  void SetAlarm(absl::Time when) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnAlarm(bool expired);

  const absl::Duration timeout_;
  absl::Mutex mutex_;
  std::function<void()> on_idle_ ABSL_GUARDED_BY(mutex_);  // null: over
  absl::Time last_sign_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_IDLE_TIMER_H_
