#ifndef PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_INBOX_H_
#define PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_INBOX_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "prefork/client.h"

namespace prefork::python {

// Where what happens to a group of tasks gathers until Python comes for it: the ends of all tasks
// behind futures, or those of one `map`. Tasks are named by keys that the submitter chooses. Nothing
// here knows Python; see client_inbox.cc. Thread-safe.
class Inbox {
 public:
  struct Ended {
    uint64_t task_id = 0;
    absl::StatusOr<client::TaskResult> outcome;
  };
  struct Item {
    uint64_t key = 0;
    std::variant<Ended, client::TaskEvent> what;
  };

  Inbox() = default;
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  // Sends a task whose events arrive here under `key`. RESOURCE_EXHAUSTED when the client's
  // max_in_flight is reached, unless `wait`. The inbox must outlive the client.
  absl::Status Submit(const client::Client::Template& spec, uint64_t key, std::string_view payload,
                      bool wait);
  absl::Status Submit(const client::Client::Template& spec, uint64_t key,
                      const client::SegmentSlice& payload, bool wait);
  // The same for a task that shares its spec with no other.
  absl::Status Submit(client::Client& client, const client::TaskSpec& spec, uint64_t key,
                      bool wait);

  // At least one item and at most `max_items`, oldest first. Nothing at the deadline, and once the
  // inbox is closed and empty.
  std::vector<Item> Take(size_t max_items, absl::Time deadline);
  // Waits until every task has ended; false at the deadline.
  bool WaitAll(absl::Time deadline);
  // Ends the waits for more.
  void Close();
  bool closed();

  // Asks for the cancellation. Does nothing when the task has ended.
  void Cancel(uint64_t key, bool force);
  void CancelAll(bool force);

  // The daemon's ID of an unfinished task; waits until it has accepted it. NOT_FOUND when the task
  // has ended.
  absl::StatusOr<uint64_t> TaskId(uint64_t key, absl::Duration timeout);

  // Tasks that have not ended.
  size_t unfinished();

 private:
  client::SubmitOptions Callbacks(uint64_t key);
  absl::Status Register(uint64_t key, absl::StatusOr<client::TaskHandle> task);
  void Put(Item item);

  absl::Mutex mu_;
  absl::CondVar arrived_;
  absl::CondVar all_ended_;
  std::vector<Item> items_ ABSL_GUARDED_BY(mu_);  // from `taken_` on
  size_t taken_ ABSL_GUARDED_BY(mu_) = 0;
  bool waiting_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<uint64_t, client::TaskHandle> tasks_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<uint64_t> ended_early_ ABSL_GUARDED_BY(mu_);
};

}  // namespace prefork::python

#endif  // PREFORK_CLIENT_PYTHON_NATIVE_CLIENT_INBOX_H_
