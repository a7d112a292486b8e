#ifndef PREFORK_CLIENT_CPP_DRIVER_H_
#define PREFORK_CLIENT_CPP_DRIVER_H_

#include <grpcpp/completion_queue.h>

#include <cstdint>
#include <functional>
#include <list>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace prefork::client {

// What a gRPC completion queue gives back. Complete runs without the driver's mutex, on whichever
// thread drives, and never two at once.
class Completion {
 public:
  virtual ~Completion() = default;
  virtual void Complete(bool ok) = 0;
};

// Turns the completion queue of one client: by the thread that waits for a result when there is
// one, else by a thread of its own. See driver.cc.
class Driver {
 public:
  Driver();
  // REQUIRES: Shutdown was called.
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  // Guards everything that completions change.
  absl::Mutex& mu() ABSL_LOCK_RETURNED(mu_) { return mu_; }
  grpc::CompletionQueue& queue() { return queue_; }

  // Waits until `done` (called with the mutex held) or the deadline; says whether `done` holds.
  // Whoever makes it true calls Notify. Not on the background thread.
  bool WaitUntil(absl::FunctionRef<bool()> done, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Something that waiters wait for has changed.
  void Notify() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasWaiters() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !waiters_.empty(); }

  // Completions are due, and the caller will not wait for them: the background thread drives now.
  void DriveInBackground() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Runs `work` on the background thread, after what was posted before.
  void Post(absl::AnyInvocable<void()> work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // While held above zero waiting threads leave the driving to the background thread, because
  // completions are expected to post work to it.
  void AddBackgroundInterest(int delta) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool OnBackgroundThread() const { return std::this_thread::get_id() == background_.get_id(); }

  // Waits until the queue's operations have completed, and joins the background thread. Not on the
  // background thread.
  void Shutdown() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  enum class Turn { kFree, kUser, kBackground };
  enum class BackgroundState { kActive, kLingering, kAsleep };

  void Run() ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for one completion and runs it. False at the deadline and when the queue has ended.
  bool CompleteOne(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu_);
  void PassTurnLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ParkLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  grpc::CompletionQueue queue_;
  absl::Mutex mu_;
  Turn turn_ ABSL_GUARDED_BY(mu_) = Turn::kFree;
  BackgroundState background_state_ ABSL_GUARDED_BY(mu_) = BackgroundState::kActive;
  absl::CondVar background_wakeup_;
  uint64_t user_turns_ ABSL_GUARDED_BY(mu_) = 0;
  int background_interest_ ABSL_GUARDED_BY(mu_) = 0;
  bool background_due_ ABSL_GUARDED_BY(mu_) = true;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  std::list<absl::CondVar*> waiters_ ABSL_GUARDED_BY(mu_);
  std::vector<absl::AnyInvocable<void()>> posted_ ABSL_GUARDED_BY(mu_);
  std::thread background_;
};

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_DRIVER_H_
