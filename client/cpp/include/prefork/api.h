#ifndef PREFORK_CLIENT_CPP_INCLUDE_PREFORK_API_H_
#define PREFORK_CLIENT_CPP_INCLUDE_PREFORK_API_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "prefork/client.h"
#include "prefork/v1/pool_service.pb.h"
#include "prefork/v1/task_service.pb.h"

namespace prefork::client {

// The daemon's calls beside the task session, with the API's own messages. Thread-safe. Every call
// answers with the daemon's status, UNAVAILABLE when it can't be reached, and DEADLINE_EXCEEDED
// after `call_timeout`.
class Api {
 public:
  // A connection without a session; for looking and steering.
  static absl::StatusOr<std::unique_ptr<Api>> Connect(const ConnectOptions& options);
  virtual ~Api() = default;

  const std::string& address() const { return address_; }
  // For every later call; infinite at first. Streams that follow (watch, ReadOutput) are exempt.
  void set_call_timeout(absl::Duration timeout) { call_timeout_ = timeout; }

  virtual absl::StatusOr<v1::SubmitResponse> Submit(const v1::TaskSpec& task) = 0;
  virtual absl::StatusOr<v1::Task> GetTask(uint64_t task_id) = 0;
  virtual absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest& request) = 0;
  // The terminal task; or as it is when `timeout` has passed.
  virtual absl::StatusOr<v1::Task> WaitTask(uint64_t task_id, absl::Duration timeout) = 0;
  virtual absl::StatusOr<v1::Task> CancelTask(uint64_t task_id, bool force) = 0;
  virtual absl::Status SignalTask(uint64_t task_id, int signal) = 0;
  virtual absl::StatusOr<uint64_t> RetryTask(uint64_t task_id) = 0;
  virtual absl::StatusOr<uint64_t> DeleteTasks(const v1::DeleteTaskRequest& request) = 0;
  virtual absl::StatusOr<std::string> ReadValue(uint64_t task_id) = 0;
  // Submits a task whose payload is too large for one message.
  virtual absl::StatusOr<v1::SubmitResponse> UploadTask(const v1::TaskSpec& task_without_payload,
                                                        const std::string& payload) = 0;

  // A callback of a stream answers whether to go on; `false` ends the call with OK.
  using OnOutput = std::function<bool(const v1::Output&)>;
  virtual absl::Status ReadOutput(const v1::ReadOutputRequest& request,
                                  const OnOutput& on_output) = 0;
  // The watches run until the callback says so, and reconnect with the last sequence number seen
  // when the connection breaks, for as long as ConnectOptions::reconnect_timeout.
  using OnEvent = std::function<bool(const v1::Event&)>;
  virtual absl::Status WatchTasks(v1::WatchTasksRequest request, const OnEvent& on_event) = 0;
  virtual absl::Status WatchPools(v1::WatchPoolsRequest request, const OnEvent& on_event) = 0;
  virtual absl::Status WatchWorkers(v1::WatchWorkersRequest request, const OnEvent& on_event) = 0;
  virtual absl::Status WatchEvents(v1::WatchEventsRequest request, const OnEvent& on_event) = 0;

  virtual absl::StatusOr<v1::Pool> CreatePool(const v1::PoolSpec& spec) = 0;
  virtual absl::StatusOr<v1::Pool> GetPool(const std::string& name) = 0;
  virtual absl::StatusOr<v1::ListPoolsResponse> ListPools() = 0;
  virtual absl::StatusOr<v1::Pool> ScalePool(const std::string& name, uint32_t size) = 0;
  virtual absl::StatusOr<v1::Pool> PausePool(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Pool> ResumePool(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Pool> DrainPool(const std::string& name) = 0;
  virtual absl::StatusOr<v1::Pool> ReloadPool(const std::string& name) = 0;
  virtual absl::Status DeletePool(const std::string& name, bool force) = 0;

  virtual absl::StatusOr<v1::ListWorkersResponse> ListWorkers(const std::string& pool) = 0;
  virtual absl::StatusOr<v1::Worker> SignalWorker(const v1::SignalWorkerRequest& request) = 0;
  virtual absl::StatusOr<v1::ListFunctionsResponse> ListFunctions(const std::string& pool) = 0;

  virtual absl::StatusOr<v1::DaemonStatus> GetStatus() = 0;
  virtual absl::Status Shutdown(const v1::ShutdownRequest& request) = 0;

 protected:
  explicit Api(std::string address) : address_(std::move(address)) {}

  std::string address_;
  absl::Duration call_timeout_ = absl::InfiniteDuration();
};

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_INCLUDE_PREFORK_API_H_
