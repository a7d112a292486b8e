// Who turns the completion queue.
//
// A result costs least when the thread that waits for it reads the socket itself: no other thread
// wakes up on its way. So a waiting thread takes the turn when it is free, and drives until what it
// waits for has come. When nobody waits, the background thread has the turn: it takes in results,
// keeps writes going and notices a broken connection.
//
//            WaitUntil                          nobody waits for 1 ms, or
//   kUser <------------- kFree ----------------------------------------------> kBackground
//         ------------->       <----------------------------------------------
//          condition true              somebody waits (after one completion)
//
// A program that submits one task, waits, and submits the next frees the turn after each task. The
// background thread must not wake for each of these, so it *lingers*: it sleeps a millisecond at a
// time, and takes the turn only after one in which no user thread drove. During a long wait of a
// user thread it goes to sleep for good, and the thread that frees the turn wakes it.
//
// Posted work (callbacks) always runs on the background thread, so that no user code runs inside
// another user thread's Get. While callbacks are expected the background thread keeps the turn.
#include "client/cpp/driver.h"

#include <utility>

#include "common/os/check.h"

namespace prefork::client {
namespace {

constexpr absl::Duration kLinger = absl::Milliseconds(1);

}  // namespace

Driver::Driver() : background_([this] { Run(); }) {}

Driver::~Driver() { PREFORK_CHECK(!background_.joinable()); }

bool Driver::WaitUntil(absl::FunctionRef<bool()> done, absl::Time deadline) {
  if (done()) return true;
  absl::CondVar wakeup;
  const auto self = waiters_.insert(waiters_.end(), &wakeup);
  bool reached = false;
  while (!(reached = done()) && !ended_ && absl::Now() < deadline) {
    if (turn_ == Turn::kFree && background_interest_ == 0) {
      turn_ = Turn::kUser;
      mu_.Unlock();
      CompleteOne(deadline);
      mu_.Lock();
      turn_ = Turn::kFree;
      ++user_turns_;
    } else {
      if (turn_ == Turn::kFree) PassTurnLocked();
      wakeup.WaitWithDeadline(&mu_, deadline);
    }
  }
  waiters_.erase(self);
  if (turn_ == Turn::kFree) PassTurnLocked();
  return reached;
}

void Driver::PassTurnLocked() {
  if (!waiters_.empty() && background_interest_ == 0 && !ended_) {
    waiters_.front()->Signal();
  } else if (background_state_ == BackgroundState::kAsleep || background_interest_ > 0) {
    background_wakeup_.Signal();
  }
}

void Driver::Notify() {
  for (absl::CondVar* waiter : waiters_) waiter->Signal();
}

void Driver::DriveInBackground() {
  if (turn_ != Turn::kFree || background_due_) return;
  background_due_ = true;
  background_wakeup_.Signal();
}

void Driver::AddBackgroundInterest(int delta) {
  const bool had = background_interest_ > 0;
  background_interest_ += delta;
  // Whoever may drive now must hear of it.
  if (had != (background_interest_ > 0) && turn_ == Turn::kFree) PassTurnLocked();
}

void Driver::Post(absl::AnyInvocable<void()> work) {
  posted_.push_back(std::move(work));
  if (background_state_ != BackgroundState::kActive) background_wakeup_.Signal();
}

bool Driver::CompleteOne(absl::Time deadline) {
  void* tag = nullptr;
  bool ok = false;
  const auto until = deadline == absl::InfiniteFuture()
                         ? gpr_inf_future(GPR_CLOCK_REALTIME)
                         : grpc::TimePoint(absl::ToChronoTime(deadline)).raw_time();
  switch (queue_.AsyncNext(&tag, &ok, until)) {
    case grpc::CompletionQueue::GOT_EVENT:
      static_cast<Completion*>(tag)->Complete(ok);
      return true;
    case grpc::CompletionQueue::SHUTDOWN: {
      absl::MutexLock lock(&mu_);
      ended_ = true;
      Notify();
      background_wakeup_.Signal();
      return false;
    }
    case grpc::CompletionQueue::TIMEOUT:
      return false;
  }
  return false;
}

void Driver::ParkLocked() {
  const uint64_t turns_before = user_turns_;
  background_state_ = BackgroundState::kLingering;
  const bool timed_out = background_wakeup_.WaitWithTimeout(&mu_, kLinger);
  if (timed_out && user_turns_ == turns_before && posted_.empty()) {
    if (turn_ == Turn::kFree && waiters_.empty()) {
      background_due_ = true;
    } else if (turn_ == Turn::kUser) {
      background_state_ = BackgroundState::kAsleep;
      background_wakeup_.Wait(&mu_);
    }
  }
  background_state_ = BackgroundState::kActive;
}

void Driver::Run() {
  mu_.Lock();
  while (true) {
    if (!posted_.empty()) {
      auto work = std::exchange(posted_, {});
      mu_.Unlock();
      for (auto& piece : work) piece();
      work.clear();
      mu_.Lock();
      continue;
    }
    if (ended_) break;
    const bool mine = background_interest_ > 0 || (background_due_ && waiters_.empty());
    if (turn_ != Turn::kFree || !mine) {
      ParkLocked();
      continue;
    }
    turn_ = Turn::kBackground;
    mu_.Unlock();
    CompleteOne(absl::InfiniteFuture());
    mu_.Lock();
    turn_ = Turn::kFree;
    if (!waiters_.empty()) {
      background_due_ = false;
      PassTurnLocked();
    }
  }
  mu_.Unlock();
}

void Driver::Shutdown() {
  queue_.Shutdown();
  {
    absl::MutexLock lock(&mu_);
    background_due_ = true;
    background_wakeup_.Signal();
  }
  background_.join();
}

}  // namespace prefork::client
