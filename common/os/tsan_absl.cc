// Tells ThreadSanitizer what Abseil's mutexes order. Debian's Abseil is not instrumented, so TSan would see
// neither its locks nor its notifications and report a race wherever they are used. In builds with
// PREFORK_SANITIZE=thread every program defines these functions, so the dynamic linker sends everybody's calls
// here, ours and gRPC's; each goes on to the library, with a release before what lets others in and an acquire
// after what lets us in.
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace {

// The library's own function of the name.
template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

// A condition is looked at inside the library, by whoever is about to give up the mutex, in the name of those who
// wait for it: under the lock, but where TSan does not see it.
__attribute__((no_sanitize("thread"))) bool Eval(void* condition) {
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  const bool result = static_cast<const absl::Condition*>(condition)->Eval();
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  return result;
}
absl::Condition Unseen(const absl::Condition& condition) {
  return absl::Condition(&Eval, const_cast<absl::Condition*>(&condition));
}

}  // namespace

// The names are mangled: _ZN4absl7debian3 for absl::debian3, _ZNK for members that are const.
// NOLINTBEGIN(bugprone-reserved-identifier)
#define PREFORK_INTERPOSE(result, name, parameters, ...)                     \
  extern "C" __attribute__((visibility("default"))) result name parameters { \
    static auto* const next = Next<result parameters>(#name);                \
    __VA_ARGS__                                                              \
  }

// --- Mutex ---

#define PREFORK_LOCK(name) PREFORK_INTERPOSE(void, name, (void* mu), next(mu); __tsan_acquire(mu);)
PREFORK_LOCK(_ZN4absl7debian35Mutex4LockEv)
PREFORK_LOCK(_ZN4absl7debian35Mutex10ReaderLockEv)

#define PREFORK_UNLOCK(name) \
  PREFORK_INTERPOSE(void, name, (void* mu), __tsan_release(mu); next(mu);)
PREFORK_UNLOCK(_ZN4absl7debian35Mutex6UnlockEv)
PREFORK_UNLOCK(_ZN4absl7debian35Mutex12ReaderUnlockEv)

PREFORK_INTERPOSE(bool, _ZN4absl7debian35Mutex7TryLockEv, (void* mu), {
  const bool locked = next(mu);
  if (locked) __tsan_acquire(mu);
  return locked;
})

// Waiting gives the mutex up and takes it again.
PREFORK_INTERPOSE(void, _ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE,
                  (void* mu, const absl::Condition& condition), {
                    __tsan_release(mu);
                    next(mu, Unseen(condition));
                    __tsan_acquire(mu);
                  })

#define PREFORK_AWAIT(name, Limit)                                                           \
  PREFORK_INTERPOSE(bool, name, (void* mu, const absl::Condition& condition, Limit limit), { \
    __tsan_release(mu);                                                                      \
    const bool result = next(mu, Unseen(condition), limit);                                  \
    __tsan_acquire(mu);                                                                      \
    return result;                                                                           \
  })
PREFORK_AWAIT(_ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE,
              absl::Duration)
PREFORK_AWAIT(_ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE, absl::Time)

// --- CondVar ---

PREFORK_INTERPOSE(void, _ZN4absl7debian37CondVar4WaitEPNS0_5MutexE, (void* condition, void* mu), {
  __tsan_release(mu);
  next(condition, mu);
  __tsan_acquire(mu);
})

#define PREFORK_TIMED_WAIT(name, Limit)                                     \
  PREFORK_INTERPOSE(bool, name, (void* condition, void* mu, Limit limit), { \
    __tsan_release(mu);                                                     \
    const bool timed_out = next(condition, mu, limit);                      \
    __tsan_acquire(mu);                                                     \
    return timed_out;                                                       \
  })
PREFORK_TIMED_WAIT(_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE,
                   absl::Duration)
PREFORK_TIMED_WAIT(_ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE, absl::Time)

// --- Notification ---

PREFORK_INTERPOSE(void, _ZN4absl7debian312Notification6NotifyEv, (void* notification), {
  __tsan_release(notification);
  next(notification);
})

PREFORK_INTERPOSE(void, _ZNK4absl7debian312Notification19WaitForNotificationEv,
                  (void* notification), {
                    next(notification);
                    __tsan_acquire(notification);
                  })

#define PREFORK_TIMED_NOTIFICATION(name, Limit)                      \
  PREFORK_INTERPOSE(bool, name, (void* notification, Limit limit), { \
    const bool notified = next(notification, limit);                 \
    if (notified) __tsan_acquire(notification);                      \
    return notified;                                                 \
  })
PREFORK_TIMED_NOTIFICATION(
    _ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE, absl::Duration)
PREFORK_TIMED_NOTIFICATION(
    _ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE, absl::Time)
// NOLINTEND(bugprone-reserved-identifier)
