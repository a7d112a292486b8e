#ifndef PREFORK_TESTS_CLIENT_CPP_FAKE_SERVICE_H_
#define PREFORK_TESTS_CLIENT_CPP_FAKE_SERVICE_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "prefork/v1/task_service.grpc.pb.h"

namespace prefork::client {

// A daemon's TaskService in this process, on a socket in a temporary directory. Answers are set,
// requests are recorded. A task finishes at once with what `Answer` says, unless tasks are held.
class FakeService final : public v1::TaskService::Service {
 public:
  using AnswerFunction = std::function<v1::TaskResult(const v1::TaskSpec&)>;
  using Stream = grpc::ServerReaderWriter<v1::SessionResponse, v1::SessionRequest>;

  struct Submitted {
    uint64_t task_id;
    uint64_t tag;
    v1::TaskSpec spec;  // merged with the batch's defaults
  };

  FakeService();
  ~FakeService() override;

  std::string address() const { return "unix:" + socket_path(); }
  std::string socket_path() const { return directory_ + "/prefork.sock"; }
  const std::string& directory() const { return directory_; }

  // Ends the server, as a daemon that goes away; and brings one with the same tasks back.
  void Stop();
  void Start();

  void Answer(AnswerFunction answer);  // default: SUCCEEDED with the payload as the value
  void RejectWith(grpc::StatusCode code, const std::string& message);
  void HoldTasks();                 // accept, and finish nothing
  void ReleaseTasks();              // finish all that are held
  void TakeOverTasks();             // all that are held: another session has them now
  void IgnoreSubmits(bool ignore);  // read, and answer nothing
  void RefuseSessions(grpc::StatusCode code, const std::string& message);
  void ForgetTasks();  // as a daemon that has lost its state
  void SendEvent(uint64_t task_id, v1::TaskEvent event);
  void BreakSessions();
  void set_max_inline_bytes(uint64_t bytes);

  // Waits until so many tasks, sessions or cancels have been seen; false after ten seconds.
  bool AwaitSubmitted(size_t count);
  bool AwaitSessions(size_t count);
  bool AwaitCancelled(size_t count);

  std::vector<Submitted> submitted();
  std::vector<size_t> batch_sizes();
  std::vector<v1::OpenSession> opens();
  std::vector<uint64_t> cancelled_ids();
  size_t uploads();

  grpc::Status Session(grpc::ServerContext* context, Stream* stream) override;
  grpc::Status UploadTask(grpc::ServerContext* context,
                          grpc::ServerReader<v1::UploadTaskRequest>* reader,
                          v1::SubmitResponse* response) override;
  grpc::Status Wait(grpc::ServerContext* context, const v1::WaitTaskRequest* request,
                    v1::Task* response) override;
  grpc::Status ReadValue(grpc::ServerContext* context, const v1::ReadValueRequest* request,
                         grpc::ServerWriter<v1::ValueChunk>* writer) override;

 private:
  struct Held {
    Stream* stream;
    uint64_t tag;
    uint64_t task_id;
    v1::TaskSpec spec;
  };

  void Open(const v1::OpenSession& open, Stream* stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeSubmits(const v1::SubmitBatch& batch, Stream* stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeCancels(const v1::CancelBatch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AddFinished(const Held& task, v1::EventBatch* events) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool Await(const std::function<size_t()>& seen, size_t count);

  std::string directory_;
  std::unique_ptr<grpc::Server> server_;
  absl::Mutex mu_;
  AnswerFunction answer_ ABSL_GUARDED_BY(mu_);
  grpc::Status rejection_ ABSL_GUARDED_BY(mu_);
  grpc::Status refusal_ ABSL_GUARDED_BY(mu_);
  bool hold_ ABSL_GUARDED_BY(mu_) = false;
  bool ignore_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t max_inline_bytes_ ABSL_GUARDED_BY(mu_) = 1 << 20;
  uint64_t next_task_id_ ABSL_GUARDED_BY(mu_) = 4'000'000'000'000'001;
  std::map<uint64_t, v1::TaskSpec> tasks_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, uint64_t> by_request_id_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, std::string> values_ ABSL_GUARDED_BY(mu_);
  std::map<uint64_t, Held> held_ ABSL_GUARDED_BY(mu_);
  std::map<Stream*, grpc::ServerContext*> streams_ ABSL_GUARDED_BY(mu_);
  std::vector<Submitted> submitted_ ABSL_GUARDED_BY(mu_);
  std::vector<size_t> batch_sizes_ ABSL_GUARDED_BY(mu_);
  std::vector<v1::OpenSession> opens_ ABSL_GUARDED_BY(mu_);
  std::vector<uint64_t> cancelled_ ABSL_GUARDED_BY(mu_);
  size_t uploads_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace prefork::client

#endif  // PREFORK_TESTS_CLIENT_CPP_FAKE_SERVICE_H_
