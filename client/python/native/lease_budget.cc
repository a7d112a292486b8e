#include "client/python/native/lease_budget.h"

#include <string>
#include <utility>

#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace prefork::python {
namespace {

// Three quarters, and half, of what the daemon allows a client by default; what a segment has beyond
// its payload comes on top.
constexpr size_t kMaxBytes = size_t{384} << 20;
constexpr size_t kMaxSegments = 512;

ABSL_CONST_INIT absl::Mutex mutex(absl::kConstInit);
size_t bytes_taken ABSL_GUARDED_BY(mutex) = 0;
size_t segments_taken ABSL_GUARDED_BY(mutex) = 0;

bool Take(size_t bytes) {
  const absl::MutexLock lock(&mutex);
  if (segments_taken == kMaxSegments || bytes > kMaxBytes - bytes_taken) return false;
  ++segments_taken;
  bytes_taken += bytes;
  return true;
}

void Return(size_t bytes) {
  const absl::MutexLock lock(&mutex);
  --segments_taken;
  bytes_taken -= bytes;
}

// The same object, which has been Taken and is Returned with its end.
template <typename T>
std::shared_ptr<T> Returning(std::shared_ptr<T> taken, size_t bytes) {
  T* const object = taken.get();
  return std::shared_ptr<T>(object, [taken = std::move(taken), bytes](T* /*object*/) mutable {
    taken.reset();
    Return(bytes);
  });
}

}  // namespace

std::shared_ptr<client::Segment> AllocateWithinBudget(client::Client& client, size_t size_bytes) {
  if (!Take(size_bytes)) return nullptr;
  absl::StatusOr<std::shared_ptr<client::Segment>> segment = client.AllocateSegment(size_bytes);
  if (segment.ok()) return Returning(*std::move(segment), size_bytes);
  Return(size_bytes);
  return nullptr;
}

absl::StatusOr<client::TaskResult> KeptWithinBudget(
    const absl::StatusOr<client::TaskResult>& outcome) {
  absl::StatusOr<client::TaskResult> kept = outcome;
  if (!kept.ok() || kept->mapped == nullptr) return kept;
  const size_t bytes = kept->mapped->bytes().size();
  if (Take(bytes)) {
    kept->mapped = Returning(std::move(kept->mapped), bytes);
  } else {
    kept->value = std::string(kept->mapped->view());
    kept->mapped.reset();
  }
  return kept;
}

}  // namespace prefork::python
