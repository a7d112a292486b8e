#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/server/rpc/rpc_fixture.h"

namespace prefork::rpc {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// A client's side of one session.
class SessionClient {
 public:
  SessionClient(v1::TaskService::Stub* stub, std::unique_ptr<grpc::ClientContext> context)
      : context_(std::move(context)), stream_(stub->Session(context_.get())) {}

  bool Open(uint64_t credit = 0) {
    v1::SessionRequest request;
    request.mutable_open()->set_client_name("test");
    request.mutable_open()->set_initial_credit(credit);
    v1::SessionResponse response;
    return stream_->Write(request) && stream_->Read(&response) && response.has_opened();
  }
  void Submit(uint64_t first_tag, int count, const std::string& payload = "") {
    v1::SessionRequest request;
    request.mutable_submit()->mutable_defaults()->set_function("echo");
    for (int i = 0; i < count; ++i) {
      v1::SubmitItem* item = request.mutable_submit()->add_items();
      item->set_tag(first_tag + i);
      item->set_payload(payload);
    }
    stream_->Write(request);
  }
  // Reads on until `done` holds; false when the stream ended before.
  bool ReadUntil(const std::function<bool()>& done) {
    v1::SessionResponse response;
    while (!done()) {
      if (!stream_->Read(&response)) return false;
      for (const v1::TaskAccepted& range : response.events().accepted()) accepted += range.count();
      for (const v1::TaskRejected& r : response.events().rejected()) rejected[r.tag()] = r.status();
      for (const v1::TaskEvent& e : response.events().events()) {
        if (e.has_finished()) finished[e.tag()] = e.finished();
      }
    }
    return true;
  }
  grpc::Status Finish() { return stream_->Finish(); }
  grpc::ClientContext* context() { return context_.get(); }
  grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>* stream() {
    return stream_.get();
  }

  uint64_t accepted = 0;
  std::map<uint64_t, google::rpc::Status> rejected;
  std::map<uint64_t, v1::TaskResult> finished;

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>> stream_;
};

class SessionTest : public RpcTest {
 protected:
  void AnswerWithPayload() {
    engine_.RunOnThread([&] {
      engine_.answer = [](const FakeEngine::Task& task) {
        return std::string(task.payload.view());
      };
    });
  }
  bool WaitFor(const std::function<bool()>& condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    bool holds = false;
    while (!holds && absl::Now() < deadline) engine_.RunOnThread([&] { holds = condition(); });
    return holds;
  }

  std::unique_ptr<v1::TaskService::Stub> stub_ = v1::TaskService::NewStub(Connect());
};

TEST_F(SessionTest, EveryTaskIsAcceptedAndFinishedOnce) {
  AnswerWithPayload();
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  constexpr uint64_t kBatches = 50;
  constexpr uint64_t kPerBatch = 200;
  for (uint64_t i = 0; i < kBatches; ++i) {
    client.Submit(1 + i * kPerBatch, kPerBatch, absl::StrCat(i));
  }
  ASSERT_TRUE(client.ReadUntil([&] { return client.finished.size() == kBatches * kPerBatch; }));
  EXPECT_EQ(client.accepted, kBatches * kPerBatch);
  EXPECT_EQ(client.finished.at(1).value(), "0");
  EXPECT_EQ(client.finished.at(kBatches * kPerBatch).value(), absl::StrCat(kBatches - 1));
  EXPECT_EQ(client.finished.at(1).state(), v1::TASK_STATE_SUCCEEDED);
}

TEST_F(SessionTest, ItemsWithoutSpecShareTheirOptionsAcrossBatches) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  client.Submit(1, 2);
  client.Submit(3, 1);
  ASSERT_TRUE(client.ReadUntil([&] { return client.accepted == 3; }));
  engine_.RunOnThread([&] {
    const auto& first = engine_.tasks.begin()->second.info.options;
    for (const auto& [id, task] : engine_.tasks) EXPECT_EQ(task.info.options, first);
  });
}

TEST_F(SessionTest, ABadItemIsRejectedAloneWithItsPath) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  v1::SessionRequest request;
  request.mutable_submit()->mutable_defaults()->set_function("echo");
  for (uint64_t tag = 1; tag <= 4; ++tag) request.mutable_submit()->add_items()->set_tag(tag);
  request.mutable_submit()->mutable_items(3)->mutable_spec()->set_priority(5000);
  client.stream()->Write(request);
  ASSERT_TRUE(
      client.ReadUntil([&] { return client.accepted == 3 && client.rejected.size() == 1; }));
  EXPECT_EQ(client.rejected.at(4).message(),
            "items[3].spec.priority: 5000 is not between -1000 and 1000");
  EXPECT_EQ(client.rejected.at(4).code(), static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT));
}

TEST_F(SessionTest, HalfCloseEndsTheSessionWhenItsTasksAreFinished) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  client.Submit(1, 1);
  ASSERT_TRUE(client.ReadUntil([&] { return client.accepted == 1; }));
  client.stream()->WritesDone();
  engine_.RunOnThread([&] {
    EXPECT_EQ(engine_.sessions.size(), 1);
    engine_.Finish(engine_.tasks.begin()->first, scheduler::TaskState::kSucceeded, "late");
    engine_.FlushSinks();
  });
  ASSERT_TRUE(client.ReadUntil([&] { return client.finished.size() == 1; }));
  const grpc::Status status = client.Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  engine_.RunOnThread([&] { EXPECT_TRUE(engine_.sessions.empty()); });
}

TEST_F(SessionTest, TheFirstMessageMustOpenTheSession) {
  SessionClient client(stub_.get(), Context());
  client.Submit(1, 1);
  v1::SessionResponse response;
  EXPECT_FALSE(client.stream()->Read(&response));
  const grpc::Status status = client.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "open: is missing: it is the first message of a session");
}

TEST_F(SessionTest, ASecondOpenEndsTheSession) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  v1::SessionRequest request;
  request.mutable_open();
  client.stream()->Write(request);
  v1::SessionResponse response;
  EXPECT_FALSE(client.stream()->Read(&response));
  EXPECT_THAT(client.Finish().error_message(), HasSubstr("comes once"));
  engine_.RunOnThread([&] { EXPECT_TRUE(engine_.sessions.empty()); });
}

TEST_F(SessionTest, RejectionsTakeTheEnginesWayWithTheirFlushes) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  v1::SessionRequest request;
  request.mutable_submit()->add_items()->set_tag(5);
  client.stream()->Write(request);
  client.stream()->WritesDone();
  ASSERT_TRUE(client.ReadUntil([&] { return client.rejected.size() == 1; }));
  EXPECT_TRUE(client.rejected.contains(5));
  EXPECT_TRUE(client.Finish().ok()) << "nothing is unfinished";
  engine_.RunOnThread([&] { EXPECT_THAT(engine_.calls, Contains("RejectBatch 1")); });
}

TEST_F(SessionTest, ABatchOfTooManyItemsEndsTheSession) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  client.Submit(1, 10'001);
  EXPECT_FALSE(client.ReadUntil([&] { return client.accepted > 0; }));
  const grpc::Status status = client.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(),
            "submit.items: 10001 items are more than 10000; send several batches");
}

TEST_F(SessionTest, ItemsThatMultiplyTheDefaultsBeyondTheBoundAreRejected) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  v1::SessionRequest request;
  request.mutable_submit()->mutable_defaults()->set_function("echo");
  request.mutable_submit()->mutable_defaults()->set_payload(std::string(16 << 10, 'x'));
  for (uint64_t tag = 1; tag <= 4100; ++tag) request.mutable_submit()->add_items()->set_tag(tag);
  client.stream()->Write(request);
  ASSERT_TRUE(
      client.ReadUntil([&] { return client.accepted == 4096 && client.rejected.size() == 4; }));
  EXPECT_EQ(client.rejected.at(4100).message(),
            "defaults: its copies for items[0] to items[4096] are more than 64 MiB; send smaller "
            "batches, or the payload with each item");
}

TEST_F(SessionTest, ItemsWithASpecOfTheirOwnCountAllThatTheyAreMergedWith) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  v1::SessionRequest request;
  v1::Command* command = request.mutable_submit()->mutable_defaults()->mutable_command();
  command->add_argv("echo");
  command->add_argv(std::string(1 << 20, 'x'));
  for (uint64_t tag = 1; tag <= 70; ++tag) {
    v1::SubmitItem* item = request.mutable_submit()->add_items();
    item->set_tag(tag);
    item->mutable_spec()->set_priority(1);
  }
  client.stream()->Write(request);
  ASSERT_TRUE(
      client.ReadUntil([&] { return client.accepted == 63 && client.rejected.size() == 7; }));
}

TEST_F(SessionTest, TooManyCancelsInOneMessageEndTheSession) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  v1::SessionRequest request;
  for (uint64_t tag = 0; tag <= 100'000; ++tag) request.mutable_cancel()->add_tags(tag);
  client.stream()->Write(request);
  v1::SessionResponse response;
  EXPECT_FALSE(client.stream()->Read(&response));
  EXPECT_THAT(client.Finish().error_message(),
              HasSubstr("100001 tags and IDs are more than 100000"));
}

TEST_F(SessionTest, WithoutCreditEventsWaitInTheDaemonAndVerdictsDoNot) {
  AnswerWithPayload();
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open(/*credit=*/1));
  client.Submit(1, 1);
  ASSERT_TRUE(client.ReadUntil([&] { return client.finished.size() == 1; }));
  client.Submit(2, 1);
  ASSERT_TRUE(client.ReadUntil([&] { return client.accepted == 2; }));
  engine_.RunOnThread([&] { EXPECT_FALSE(engine_.sessions.begin()->second.held.empty()); });
  EXPECT_EQ(client.finished.size(), 1);

  v1::SessionRequest credit;
  credit.mutable_credit()->set_events(1);
  client.stream()->Write(credit);
  ASSERT_TRUE(client.ReadUntil([&] { return client.finished.size() == 2; }));
}

TEST_F(SessionTest, AClientThatDoesNotReadHoldsUpOnlyItself) {
  AnswerWithPayload();
  SessionClient lazy(stub_.get(), Context());
  ASSERT_TRUE(lazy.Open());
  const std::string payload(10'000, 'x');
  bool writable = true;
  uint64_t tag = 1;
  // Until its events fill HTTP/2's window and the sink is held back.
  while (writable && tag < 100'000) {
    lazy.Submit(tag, 20, payload);
    tag += 20;
    const uint64_t sent = tag - 1;
    ASSERT_TRUE(WaitFor([&] { return engine_.tasks.size() == sent; }));
    engine_.RunOnThread([&] { writable = engine_.sessions.begin()->second.writable; });
  }
  EXPECT_FALSE(writable);

  const auto other_stub = v1::TaskService::NewStub(Connect());
  SessionClient other(other_stub.get(), Context());
  ASSERT_TRUE(other.Open());
  other.Submit(1, 1);
  EXPECT_TRUE(other.ReadUntil([&] { return other.finished.size() == 1; }));
  EXPECT_TRUE(lazy.ReadUntil([&] { return lazy.finished.size() == tag - 1; }));
}

TEST_F(SessionTest, PausedSessionsAreNotRead) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  client.Submit(1, 1);
  ASSERT_TRUE(client.ReadUntil([&] { return client.accepted == 1; }));
  engine_.RunOnThread([&] { engine_.sessions.begin()->second.sink->PauseReading(true); });
  for (uint64_t tag = 2; tag <= 5; ++tag) client.Submit(tag, 1);
  // Its answer comes after the submits have arrived: it shares their connection.
  grpc::ClientContext context;
  v1::Task task;
  EXPECT_EQ(stub_->Get(&context, v1::GetTaskRequest(), &task).error_code(),
            grpc::StatusCode::NOT_FOUND);
  // One read may have been under way when the pause came.
  engine_.RunOnThread([&] {
    EXPECT_LE(engine_.tasks.size(), 2);
    engine_.sessions.begin()->second.sink->PauseReading(false);
  });
  EXPECT_TRUE(client.ReadUntil([&] { return client.accepted == 5; }));
}

TEST_F(SessionTest, ACancelledSessionIsClosedInTheEngine) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  client.context()->TryCancel();
  EXPECT_EQ(client.Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(WaitFor([&] { return engine_.sessions.empty(); }));
}

TEST_F(SessionTest, CancelsReachTheEngine) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  client.Submit(7, 1);
  v1::SessionRequest request;
  request.mutable_cancel()->add_tags(7);
  request.mutable_cancel()->set_force(true);
  client.stream()->Write(request);
  ASSERT_TRUE(client.ReadUntil([&] { return client.finished.size() == 1; }));
  EXPECT_EQ(client.finished.at(7).state(), v1::TASK_STATE_CANCELLED);
  engine_.RunOnThread([&] { EXPECT_THAT(engine_.calls, Contains("CancelTag 7 force")); });
}

TEST_F(SessionTest, ShutdownEndsFiveHundredOpenStreamsInTime) {
  constexpr int kSessions = 500;
  std::vector<std::unique_ptr<SessionClient>> clients;
  for (int i = 0; i < kSessions; ++i) {
    clients.push_back(std::make_unique<SessionClient>(stub_.get(), Context()));
    ASSERT_TRUE(clients.back()->Open());
  }
  // Nobody reads, nobody half-closes: the deadline has to do it.
  const absl::Time begin = absl::Now();
  server_->Shutdown(absl::Now() + absl::Milliseconds(100));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  engine_.RunOnThread([&] { EXPECT_TRUE(engine_.sessions.empty()); });
  for (auto& client : clients) EXPECT_FALSE(client->Finish().ok());
}

TEST_F(SessionTest, CloseByTheEngineIsTheSessionsStatus) {
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  engine_.RunOnThread([&] { engine_.Drain(absl::ZeroDuration(), [] {}); });
  v1::SessionResponse response;
  EXPECT_FALSE(client.stream()->Read(&response));
  const grpc::Status status = client.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(status)->reason(), "SHUTDOWN");
}

TEST_F(SessionTest, GarbageOnAConnectionLeavesOthersAlone) {
  // The header of a frame that claims to be as long as one can be.
  const std::string huge_frame = std::string(3, '\xff') + std::string(5, '\x00') + '\x01';
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.0\r\n\r\n"), std::string(100'000, '\xff'),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + std::string(4096, '\x00'),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + huge_frame}) {
    const os::Fd raw = ConnectRaw();
    [[maybe_unused]] const ssize_t written =
        send(raw.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    shutdown(raw.get(), SHUT_WR);
    char answer[4096];
    while (read(raw.get(), answer, sizeof(answer)) > 0) {
    }
  }
  AnswerWithPayload();
  SessionClient client(stub_.get(), Context());
  ASSERT_TRUE(client.Open());
  client.Submit(1, 1, "still here");
  ASSERT_TRUE(client.ReadUntil([&] { return client.finished.size() == 1; }));
  EXPECT_EQ(client.finished.at(1).value(), "still here");
}

}  // namespace
}  // namespace prefork::rpc
