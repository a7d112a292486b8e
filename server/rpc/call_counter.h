#ifndef PREFORK_SERVER_RPC_CALL_COUNTER_H_
#define PREFORK_SERVER_RPC_CALL_COUNTER_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace prefork::rpc {

// How many calls are open. gRPC's own shutdown waits for connections, too, and a client that is not
// calling anything at the moment does not hear that it should close its one. Thread-safe.
class CallCounter {
 public:
  // One open call, for as long as it lives.
  class Token {
   public:
    explicit Token(CallCounter* counter) : counter_(*counter) {
      absl::MutexLock lock(&counter_.mutex_);
      ++counter_.open_;
    }
    ~Token() {
      absl::MutexLock lock(&counter_.mutex_);
      --counter_.open_;
    }
    Token(const Token&) = delete;
    Token& operator=(const Token&) = delete;

   private:
    CallCounter& counter_;
  };

  // False: some are still open at the deadline.
  bool AwaitNone(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithDeadline(absl::Condition(
                                        +[](int* open) { return *open == 0; }, &open_),
                                    deadline);
  }

 private:
  absl::Mutex mutex_;
  int open_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace prefork::rpc

#endif  // PREFORK_SERVER_RPC_CALL_COUNTER_H_
