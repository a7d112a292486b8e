#ifndef PREFORK_CLIENT_CPP_TRANSFER_H_
#define PREFORK_CLIENT_CPP_TRANSFER_H_

#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cpp/driver.h"
#include "client/cpp/task_record.h"
#include "prefork/task.h"
#include "prefork/v1/task.pb.h"

namespace prefork::client::internal {

// A call beside the session for a task whose payload or value is too large for it. It lives from
// its Start until TransferEnded.
class Transfer : public Completion {
 public:
  virtual void Start() = 0;
  // Makes the call end soon.
  virtual void Abort() = 0;
};

// What transfers tell the session. Called without the driver's mutex, on the driving thread.
class TransferOwner {
 public:
  virtual ~TransferOwner() = default;
  virtual void UploadAccepted(const RecordPtr& record, uint64_t task_id) = 0;
  virtual void TransferDone(const RecordPtr& record, absl::StatusOr<TaskResult> outcome) = 0;
  // `result` lacks its value, which another transfer has to read.
  virtual void FetchValue(const RecordPtr& record, uint64_t task_id, TaskResult result) = 0;
  virtual bool TransferStillWanted(const RecordPtr& record) = 0;
  // The last call; the owner destroys the transfer.
  virtual void TransferEnded(Transfer* transfer) = 0;
};

struct TransferContext {
  TransferOwner* owner;
  std::shared_ptr<grpc::Channel> channel;
  grpc::CompletionQueue* queue;
  RecordPtr record;
  std::string address;  // for messages
};

// Submits a task with UploadTask, payload in chunks.
std::unique_ptr<Transfer> MakeUpload(TransferContext context, v1::TaskSpec spec_without_payload,
                                     std::string payload);
// Waits for an uploaded task, whose end no session tells.
std::unique_ptr<Transfer> MakeFollow(TransferContext context, uint64_t task_id);
// Reads the value of a task that `result` says has succeeded.
std::unique_ptr<Transfer> MakeFetch(TransferContext context, uint64_t task_id, TaskResult result);

}  // namespace prefork::client::internal

#endif  // PREFORK_CLIENT_CPP_TRANSFER_H_
