// Tells ThreadSanitizer what Abseil's mutexes order. Debian's Abseil is not instrumented, so TSan would see
// neither its locks nor its notifications and report a race wherever they are used. In builds with
// PREFORK_SANITIZE=thread the linker sends our calls here (--wrap, see CMakeLists.txt); each goes on to the
// library, with a release before what lets others in and an acquire after what lets us in.
#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

// The names are those that the linker makes: __wrap_ or __real_ before the mangled name.
// NOLINTBEGIN(bugprone-reserved-identifier)
#define PREFORK_REAL(name) __real__ZN4absl7debian3##name
#define PREFORK_REAL_CONST(name) __real__ZNK4absl7debian3##name
#define PREFORK_WRAP(name) __wrap__ZN4absl7debian3##name
#define PREFORK_WRAP_CONST(name) __wrap__ZNK4absl7debian3##name

extern "C" {

// --- Mutex ---

#define PREFORK_WRAP_LOCK(name)       \
  void PREFORK_REAL(name)(void* mu);  \
  void PREFORK_WRAP(name)(void* mu) { \
    PREFORK_REAL(name)(mu);           \
    __tsan_acquire(mu);               \
  }
PREFORK_WRAP_LOCK(5Mutex4LockEv)
PREFORK_WRAP_LOCK(5Mutex10ReaderLockEv)

#define PREFORK_WRAP_UNLOCK(name)     \
  void PREFORK_REAL(name)(void* mu);  \
  void PREFORK_WRAP(name)(void* mu) { \
    __tsan_release(mu);               \
    PREFORK_REAL(name)(mu);           \
  }
PREFORK_WRAP_UNLOCK(5Mutex6UnlockEv)
PREFORK_WRAP_UNLOCK(5Mutex12ReaderUnlockEv)

bool PREFORK_REAL(5Mutex7TryLockEv)(void* mu);
bool PREFORK_WRAP(5Mutex7TryLockEv)(void* mu) {
  const bool locked = PREFORK_REAL(5Mutex7TryLockEv)(mu);
  if (locked) __tsan_acquire(mu);
  return locked;
}

// Waiting gives the mutex up and takes it again.
void PREFORK_REAL(5Mutex5AwaitERKNS0_9ConditionE)(void* mu, const absl::Condition& condition);
void PREFORK_WRAP(5Mutex5AwaitERKNS0_9ConditionE)(void* mu, const absl::Condition& condition) {
  __tsan_release(mu);
  PREFORK_REAL(5Mutex5AwaitERKNS0_9ConditionE)(mu, condition);
  __tsan_acquire(mu);
}

#define PREFORK_WRAP_AWAIT(name, Limit)                                              \
  bool PREFORK_REAL(name)(void* mu, const absl::Condition& condition, Limit limit);  \
  bool PREFORK_WRAP(name)(void* mu, const absl::Condition& condition, Limit limit) { \
    __tsan_release(mu);                                                              \
    const bool result = PREFORK_REAL(name)(mu, condition, limit);                    \
    __tsan_acquire(mu);                                                              \
    return result;                                                                   \
  }
PREFORK_WRAP_AWAIT(5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE, absl::Duration)
PREFORK_WRAP_AWAIT(5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE, absl::Time)

// --- CondVar ---

void PREFORK_REAL(7CondVar4WaitEPNS0_5MutexE)(void* condition, void* mu);
void PREFORK_WRAP(7CondVar4WaitEPNS0_5MutexE)(void* condition, void* mu) {
  __tsan_release(mu);
  PREFORK_REAL(7CondVar4WaitEPNS0_5MutexE)(condition, mu);
  __tsan_acquire(mu);
}

#define PREFORK_WRAP_TIMED_WAIT(name, Limit)                         \
  bool PREFORK_REAL(name)(void* condition, void* mu, Limit limit);   \
  bool PREFORK_WRAP(name)(void* condition, void* mu, Limit limit) {  \
    __tsan_release(mu);                                              \
    const bool timed_out = PREFORK_REAL(name)(condition, mu, limit); \
    __tsan_acquire(mu);                                              \
    return timed_out;                                                \
  }
PREFORK_WRAP_TIMED_WAIT(7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE, absl::Duration)
PREFORK_WRAP_TIMED_WAIT(7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE, absl::Time)

// --- Notification ---

void PREFORK_REAL(12Notification6NotifyEv)(void* notification);
void PREFORK_WRAP(12Notification6NotifyEv)(void* notification) {
  __tsan_release(notification);
  PREFORK_REAL(12Notification6NotifyEv)(notification);
}

void PREFORK_REAL_CONST(12Notification19WaitForNotificationEv)(void* notification);
void PREFORK_WRAP_CONST(12Notification19WaitForNotificationEv)(void* notification) {
  PREFORK_REAL_CONST(12Notification19WaitForNotificationEv)(notification);
  __tsan_acquire(notification);
}

#define PREFORK_WRAP_TIMED_NOTIFICATION(name, Limit)                     \
  bool PREFORK_REAL_CONST(name)(void* notification, Limit limit);        \
  bool PREFORK_WRAP_CONST(name)(void* notification, Limit limit) {       \
    const bool notified = PREFORK_REAL_CONST(name)(notification, limit); \
    if (notified) __tsan_acquire(notification);                          \
    return notified;                                                     \
  }
PREFORK_WRAP_TIMED_NOTIFICATION(12Notification30WaitForNotificationWithTimeoutENS0_8DurationE,
                                absl::Duration)
PREFORK_WRAP_TIMED_NOTIFICATION(12Notification31WaitForNotificationWithDeadlineENS0_4TimeE,
                                absl::Time)

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
