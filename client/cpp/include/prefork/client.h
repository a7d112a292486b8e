#ifndef PREFORK_CLIENT_CPP_INCLUDE_PREFORK_CLIENT_H_
#define PREFORK_CLIENT_CPP_INCLUDE_PREFORK_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "prefork/segment.h"
#include "prefork/task.h"
#include "prefork/task_handle.h"

namespace prefork::client {

class Api;

// Which events a client wants beside the end of each task. Each kind costs bandwidth; the default
// is none.
struct EventOptions {
  bool states = false;
  bool output = false;
  bool progress = false;      // progress and partial results
  bool exit_reports = false;  // for successes too
};

struct ConnectOptions {
  // "unix:/path", "/path" or "host:port". Empty: $PREFORK_ADDRESS, else the user's daemon at
  // $XDG_RUNTIME_DIR/prefork/prefork.sock, else the system's at /run/prefork/prefork.sock.
  std::string address{};
  // Start a private daemon of this user when none answers at an address that was not given
  // explicitly. It ends itself when it has been idle for ten minutes.
  bool autostart = true;
  // Where autostart looks for preforkd after $PREFORK_DAEMON and before PATH; empty: beside this
  // program.
  std::string daemon_directory{};
  // For the daemon's logs and its fair sharing; empty: the program's name.
  std::string client_name{};
  absl::Duration connect_timeout = absl::Seconds(15);
  EventOptions events{};
  // Unfinished tasks at once; over it Submit waits.
  size_t max_in_flight = 65536;
  // After a broken connection: reconnect for so long, then fail what is unfinished.
  absl::Duration reconnect_timeout = absl::Seconds(30);
  // Large values of tasks come as TaskResult::mapped, without a copy, when the daemon is on this host.
  bool map_values = false;
};

// Called on the client's own thread, one at a time, so they must not wait for tasks of the same
// client; a Submit in a callback never waits (RESOURCE_EXHAUSTED instead).
struct SubmitOptions {
  // The task ended (a result), or will never be known to (an error, as from TaskHandle::Get).
  std::function<void(const TaskHandle&, const absl::StatusOr<TaskResult>&)> on_done{};
  // What happens before; in order. Kinds are chosen by ConnectOptions::events.
  std::function<void(const TaskHandle&, const TaskEvent&)> on_event{};
};

// The URL of the payload of an error of the daemon in which its reason is, as "SEGMENT_MEMORY_FULL"
// (google.rpc.ErrorInfo.reason); see absl::Status::GetPayload. Set where the daemon gave one.
inline constexpr char kReasonUrl[] = "prefork/reason";

// A connection to the daemon with one session for tasks. Thread-safe.
//
//   auto client = Client::Connect();
//   auto task = client->Submit({.function = "square", .payload = "12"});
//   auto result = task->Get();   // result->value == "144"
//
// Submits gather while a write is under way and leave as one batch, so a single task goes out at
// once and a million go a thousand at a time. When the connection breaks, detached tasks are
// submitted or taken up again on a new one; of the others, those that had been sent fail with
// UNAVAILABLE.
class Client {
 public:
  // NOT_FOUND/UNAVAILABLE name the addresses tried and the cure.
  static absl::StatusOr<Client> Connect(ConnectOptions options = {});

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  // Ends the session: tasks that are neither finished nor detached are cancelled by the daemon.
  ~Client();

  // Sends a task. Waits while max_in_flight tasks are unfinished. INVALID_ARGUMENT when the spec
  // names neither a function nor a command; what the daemon objects to arrives in the handle.
  absl::StatusOr<TaskHandle> Submit(const TaskSpec& spec, SubmitOptions options = {});
  // The same, but RESOURCE_EXHAUSTED instead of waiting.
  absl::StatusOr<TaskHandle> TrySubmit(const TaskSpec& spec, SubmitOptions options = {});

  // A spec that many tasks share, translated once: the fast way for many small tasks.
  class Template {
   public:
    Template(Template&&) noexcept;
    Template& operator=(Template&&) noexcept;
    ~Template();
    absl::StatusOr<TaskHandle> Submit(std::string_view payload, SubmitOptions options = {}) const;
    absl::StatusOr<TaskHandle> TrySubmit(std::string_view payload,
                                         SubmitOptions options = {}) const;
    absl::StatusOr<TaskHandle> Submit(const SegmentSlice& payload,
                                      SubmitOptions options = {}) const;
    absl::StatusOr<TaskHandle> TrySubmit(const SegmentSlice& payload,
                                         SubmitOptions options = {}) const;

   private:
    friend class Client;
    struct Impl;
    explicit Template(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
  };
  // `spec.payload` and `spec.request_id` must be empty. The template keeps the session alive.
  absl::StatusOr<Template> Prepare(const TaskSpec& spec);

  // Memory in which a payload is seen by workers in place: fill it, and name it in
  // TaskSpec::payload_segment, for one task or for many. Large payloads that are given as bytes are
  // put into such memory by Submit, which costs a copy. Waits for the daemon's answer.
  // RESOURCE_EXHAUSTED names the limit, or says that memory is used up. From a daemon on another host
  // it is private memory, and works the same.
  absl::StatusOr<std::shared_ptr<Segment>> AllocateSegment(size_t size_bytes);

  // Would a task of this client find the segment in place? Of a segment of another daemon, of one that
  // has been restarted since, of our parent process, and of one that is not shared its bytes are sent.
  bool Reaches(const Segment& segment);

  // Waits until no task of this client is unfinished and their callbacks have run.
  absl::Status WaitAll(absl::Duration timeout = absl::InfiniteDuration());

  // The value of any succeeded task that the daemon still knows. TaskHandle::Get does it by itself
  // for values that are too large for an event.
  absl::StatusOr<std::string> ReadValue(uint64_t task_id);

  // The other calls of the daemon: get, list, wait, pools, workers, status, watch. See api.h.
  Api& api();

  const std::string& address() const;
  const std::string& daemon_version() const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_INCLUDE_PREFORK_CLIENT_H_
