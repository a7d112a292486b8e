#ifndef PREFORK_CLIENT_CPP_SESSION_H_
#define PREFORK_CLIENT_CPP_SESSION_H_

#include <google/protobuf/arena.h>
#include <grpcpp/alarm.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/generic/generic_stub.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/cpp/batch.h"
#include "client/cpp/driver.h"
#include "client/cpp/segment_channel.h"
#include "client/cpp/segment_payloads.h"
#include "client/cpp/tag_table.h"
#include "client/cpp/task_record.h"
#include "client/cpp/transfer.h"
#include "prefork/client.h"
#include "prefork/v1/task_service.pb.h"

namespace prefork::client::internal {

// The task session of one client: batches down, events up, and a new stream when one breaks. See
// session.cc. Thread-safe.
class Session : public std::enable_shared_from_this<Session>, private TransferOwner {
 public:
  Session(std::shared_ptr<grpc::Channel> channel, ConnectOptions options);
  // REQUIRES: Close was called.
  ~Session() override;

  // Opens the first stream; waits until the daemon has answered.
  absl::Status Open(absl::Time deadline);
  // Ends the stream and settles every task that is unfinished. Before that it waits, for as long as
  // a reconnect may take, until the daemon has accepted all detached tasks.
  void Close();

  absl::StatusOr<TaskHandle> Submit(const std::shared_ptr<const EncodedSpec>& spec,
                                    std::string_view payload, const SegmentSlice& slice,
                                    std::string_view request_id, SubmitOptions&& options,
                                    bool wait);
  absl::StatusOr<std::shared_ptr<Segment>> AllocateSegment(size_t size_bytes);
  bool Reaches(const Segment& segment);
  absl::Status WaitAll(absl::Time deadline);

  // For TaskHandle.
  // As the program wants it: a mapped value copied unless it asked for mapped ones.
  absl::StatusOr<TaskResult> ResultOf(const absl::StatusOr<TaskResult>& outcome) const;
  absl::Status WaitDone(TaskRecord& record, absl::Time deadline);
  absl::StatusOr<uint64_t> WaitAccepted(TaskRecord& record, absl::Time deadline);
  void Cancel(TaskRecord& record, bool force);

  std::string daemon_version();

 private:
  enum class State { kConnecting, kOpen, kFailed, kClosed };
  // Of the stream; each is outstanding at most once.
  struct Operation final : Completion {
    Operation(Session* owner, void (Session::*function)(bool)) : session(owner), method(function) {}
    void Complete(bool ok) override { (session->*method)(ok); }
    Session* session;
    void (Session::*method)(bool);
  };
  struct Delivery {
    RecordPtr record;
    std::optional<TaskEvent> event;  // nothing: the task is done
  };
  using Stream = grpc::GenericClientAsyncReaderWriter;

  // Few and large blocks: a message may hold thousands of events.
  static google::protobuf::ArenaOptions MessageArena();

  // session.cc: from submit to the stream.
  RecordPtr MakeRecordLocked(bool detached, SubmitOptions&& options)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void AppendLocked(const std::shared_ptr<const EncodedSpec>& spec, const RecordPtr& record,
                    PlacedPayload payload, std::string_view request_id)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  std::string NewRequestIdLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void WriteNextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void WriteLocked(const grpc::ByteBuffer& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void OnWritten(bool ok);
  void SendCancelLocked(TaskRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());

  // session_events.cc: what comes back.
  void OnRead(bool ok);
  void HandleResponse(v1::SessionResponse& response);
  void AcceptLocked(const v1::TaskAccepted& accepted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void AcknowledgeLocked(uint64_t tag) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void HandleEventLocked(v1::TaskEvent& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  // The tables may hold the last reference to `record`.
  void SettleLocked(TaskRecord& record, absl::StatusOr<TaskResult> outcome)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void DeliverLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());

  // session_transfers.cc: what is too large for the stream.
  // Connects to the segment socket if that is not so already.
  void ConnectSegments(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mu());
  bool WantsCopy(const absl::StatusOr<TaskResult>& outcome) const;
  // Takes a value that came by segment. False: it has to be read in chunks.
  bool TakeValueLocked(uint64_t segment_id, TaskResult* result) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void StartTransferLocked(std::unique_ptr<Transfer> transfer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  TransferContext MakeTransferContext(const RecordPtr& record);
  // TransferOwner.
  void UploadAccepted(const RecordPtr& record, uint64_t task_id) override;
  void TransferDone(const RecordPtr& record, absl::StatusOr<TaskResult> outcome) override;
  void FetchValue(const RecordPtr& record, uint64_t task_id, TaskResult result) override;
  bool TransferStillWanted(const RecordPtr& record) override;
  void TransferEnded(Transfer* transfer) override;

  // reconnect.cc: the life of the stream.
  void StartStreamLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void OnStarted(bool ok);
  void WriteOpenLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void BreakLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void OnFinished(bool ok);
  void OnBackoffOver(bool ok);
  void StreamEndedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void SortOutTasksLocked(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  bool DetachedUnacceptedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void SettleAllLocked(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());
  void FailLocked(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu());

  absl::Mutex& mu() ABSL_LOCK_RETURNED(driver_.mu()) { return driver_.mu(); }

  const ConnectOptions options_;
  const std::shared_ptr<grpc::Channel> channel_;
  grpc::GenericStub stub_;
  Driver driver_;

  State state_ ABSL_GUARDED_BY(mu()) = State::kConnecting;
  absl::Status failure_ ABSL_GUARDED_BY(mu());  // why kFailed
  bool opened_once_ ABSL_GUARDED_BY(mu()) = false;
  std::string daemon_version_ ABSL_GUARDED_BY(mu());
  size_t max_inline_bytes_ ABSL_GUARDED_BY(mu()) = 0;

  std::shared_ptr<SegmentChannel> segments_ ABSL_GUARDED_BY(mu());  // null: there are none

  // The stream. `operations_` counts what it has outstanding; it is destroyed at zero.
  std::unique_ptr<grpc::ClientContext> context_ ABSL_GUARDED_BY(mu());
  std::unique_ptr<Stream> stream_ ABSL_GUARDED_BY(mu());
  int operations_ ABSL_GUARDED_BY(mu()) = 0;
  bool writing_ ABSL_GUARDED_BY(mu()) = false;
  bool broken_ ABSL_GUARDED_BY(mu()) = false;
  bool finishing_ ABSL_GUARDED_BY(mu()) = false;
  bool backing_off_ ABSL_GUARDED_BY(mu()) = false;
  grpc::Status stream_status_;
  grpc::ByteBuffer read_buffer_;
  grpc::Alarm backoff_alarm_;
  int failed_attempts_ ABSL_GUARDED_BY(mu()) = 0;
  absl::Time give_up_at_ ABSL_GUARDED_BY(mu()) = absl::InfiniteFuture();
  std::minstd_rand random_ ABSL_GUARDED_BY(mu());
  Operation started_{this, &Session::OnStarted};
  Operation written_{this, &Session::OnWritten};
  Operation read_{this, &Session::OnRead};
  Operation finished_{this, &Session::OnFinished};
  Operation backoff_over_{this, &Session::OnBackoffOver};

  // Tasks.
  RecordBlock* block_ ABSL_GUARDED_BY(mu()) = nullptr;  // with room for records, or null
  uint64_t next_tag_ ABSL_GUARDED_BY(mu()) = 0;
  uint64_t unsent_tag_ ABSL_GUARDED_BY(mu()) = 0;  // from here on tags are in pending_
  TagTable by_tag_ ABSL_GUARDED_BY(mu());
  std::set<RecordPtr> by_transfer_ ABSL_GUARDED_BY(mu());  // no tag: uploading or uploaded
  size_t in_flight_ ABSL_GUARDED_BY(mu()) = 0;
  size_t unanswered_ ABSL_GUARDED_BY(mu()) = 0;  // sent, neither accepted nor rejected
  SegmentPayloads payloads_ ABSL_GUARDED_BY(mu());
  std::deque<Batch> pending_ ABSL_GUARDED_BY(mu());
  struct SentBatch {
    Batch batch;
    size_t unacknowledged;
  };
  std::deque<SentBatch> sent_ ABSL_GUARDED_BY(mu());  // detached ones only, until acknowledged
  std::vector<uint64_t> cancel_ids_ ABSL_GUARDED_BY(mu());
  std::vector<uint64_t> cancel_tags_ ABSL_GUARDED_BY(mu());
  std::vector<uint64_t> kill_ids_ ABSL_GUARDED_BY(mu());
  std::vector<uint64_t> kill_tags_ ABSL_GUARDED_BY(mu());
  std::vector<uint64_t> cancel_when_sent_ ABSL_GUARDED_BY(mu());  // tags of tasks in pending_
  std::vector<uint64_t> resume_ids_ ABSL_GUARDED_BY(mu());
  std::vector<std::unique_ptr<Transfer>> transfers_ ABSL_GUARDED_BY(mu());
  std::vector<Delivery> deliveries_ ABSL_GUARDED_BY(mu());
  int deliveries_running_ ABSL_GUARDED_BY(mu()) = 0;  // posted, callbacks not all over
  std::string request_id_prefix_;
  uint64_t request_ids_made_ ABSL_GUARDED_BY(mu()) = 0;
  google::protobuf::Arena arena_{MessageArena()};  // of the message being read
};

}  // namespace prefork::client::internal

#endif  // PREFORK_CLIENT_CPP_SESSION_H_
