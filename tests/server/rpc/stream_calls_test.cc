#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "server/rpc/payload_assembler.h"
#include "tests/server/rpc/rpc_fixture.h"

namespace prefork::rpc {
namespace {

using ::testing::HasSubstr;

class StreamCallsTest : public RpcTest {
 protected:
  engine::TaskId SubmitEcho() {
    v1::SubmitRequest request;
    request.mutable_task()->set_function("echo");
    v1::SubmitResponse response;
    const grpc::Status status = stub_->Submit(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.task_id();
  }
  bool WaitFor(const std::function<bool()>& condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    bool holds = false;
    while (!holds && absl::Now() < deadline) engine_.RunOnThread([&] { holds = condition(); });
    return holds;
  }
  grpc::Status Upload(const std::vector<v1::UploadTaskRequest>& messages,
                      v1::SubmitResponse* response) {
    const auto context = Context();
    const auto writer = stub_->UploadTask(context.get(), response);
    for (const v1::UploadTaskRequest& message : messages) {
      if (!writer->Write(message)) break;
    }
    writer->WritesDone();
    return writer->Finish();
  }
  static v1::UploadTaskRequest Spec(uint64_t payload_bytes) {
    v1::UploadTaskRequest message;
    message.mutable_task()->set_function("echo");
    message.set_payload_bytes(payload_bytes);
    return message;
  }
  static v1::UploadTaskRequest Chunk(const std::string& bytes) {
    v1::UploadTaskRequest message;
    message.set_chunk(bytes);
    return message;
  }

  std::unique_ptr<v1::TaskService::Stub> stub_ = v1::TaskService::NewStub(Connect());
};

TEST_F(StreamCallsTest, UploadedChunksBecomeOnePayload) {
  for (const size_t size : {size_t{0}, size_t{100}, size_t{5} << 20}) {
    std::string payload(size, '\0');
    for (size_t i = 0; i < size; ++i) payload[i] = static_cast<char>(i * 31);
    std::vector<v1::UploadTaskRequest> messages = {Spec(size)};
    for (size_t begin = 0; begin < size; begin += 1'000'000) {
      messages.push_back(Chunk(payload.substr(begin, 1'000'000)));
    }
    v1::SubmitResponse response;
    const grpc::Status status = Upload(messages, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    engine_.RunOnThread(
        [&] { EXPECT_EQ(engine_.tasks.at(response.task_id()).payload.view(), payload); });
  }
}

TEST_F(StreamCallsTest, AnUploadThatIsCutShortOrTooLongIsNoTask) {
  v1::SubmitResponse response;
  EXPECT_EQ(Upload({Spec(10), Chunk("12345")}, &response).error_message(),
            "payload_bytes: 10 bytes of payload were declared, only 5 came");
  EXPECT_EQ(Upload({Spec(3), Chunk("12345")}, &response).error_message(),
            "payload_bytes: 3 bytes of payload were declared, more came");
  EXPECT_THAT(Upload({Chunk("12345")}, &response).error_message(), HasSubstr("task: is missing"));
  EXPECT_THAT(Upload({}, &response).error_message(), HasSubstr("task: is missing"));
  EXPECT_THAT(Upload({Spec(3), Spec(3)}, &response).error_message(), HasSubstr("comes once"));
  EXPECT_THAT(Upload({Spec(uint64_t{1} << 60)}, &response).error_message(),
              HasSubstr("are more than the daemon's limit"));
  engine_.RunOnThread([&] { EXPECT_TRUE(engine_.tasks.empty()); });
}

TEST_F(StreamCallsTest, AChunkOverItsBoundIsRefused) {
  v1::SubmitResponse response;
  const grpc::Status status =
      Upload({Spec(4'000'000), Chunk(std::string((3 << 20) + 1, 'x'))}, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(),
            "chunk: 3145729 bytes are more than 3145728, the most for one chunk; send several");
}

TEST(PayloadAssemblerTest, AnAnnouncedPayloadHoldsNoMemoryBeforeItsFirstChunk) {
  const std::shared_ptr<shm::SegmentPool> segments = shm::SegmentPool::Create({});
  PayloadAssembler assembler(1 << 20, 100, 1000, segments.get());
  EXPECT_EQ(segments->leased_bytes(), 0u);
  ASSERT_TRUE(assembler.Append("x").ok());
  EXPECT_GE(segments->leased_bytes(), 1u << 20);
}

class IdleUploadTest : public RpcTest {
 protected:
  IdleUploadTest() : RpcTest(absl::Milliseconds(100)) {}
};

TEST_F(IdleUploadTest, AnUploadFromWhichNothingComesIsGivenUp) {
  const auto stub = v1::TaskService::NewStub(Connect());
  v1::SubmitResponse response;
  const auto context = Context();
  const auto writer = stub->UploadTask(context.get(), &response);
  v1::UploadTaskRequest message;
  message.mutable_task()->set_function("echo");
  message.set_payload_bytes(1 << 20);
  ASSERT_TRUE(writer->Write(message));
  message.set_chunk("x");
  writer->Write(message);
  const grpc::Status status = writer->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(), "nothing of the upload came for 100ms");
  engine_.RunOnThread([&] { EXPECT_TRUE(engine_.tasks.empty()); });
}

TEST_F(StreamCallsTest, ValuesComeInChunksFromTheOffset) {
  const engine::TaskId id = SubmitEcho();
  std::string value(3'500'000, '\0');
  for (size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>(i * 17);
  engine_.RunOnThread([&] { engine_.Finish(id, scheduler::TaskState::kSucceeded, value); });
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1'234'567}, uint64_t{3'500'000}}) {
    v1::ReadValueRequest request;
    request.set_task_id(id);
    request.set_offset(offset);
    const auto context = Context();
    const auto reader = stub_->ReadValue(context.get(), request);
    std::string read;
    v1::ValueChunk chunk;
    while (reader->Read(&chunk)) {
      EXPECT_EQ(chunk.offset(), offset + read.size());
      EXPECT_EQ(chunk.total_bytes(), value.size());
      EXPECT_LE(chunk.data().size(), 1 << 20);
      read += chunk.data();
    }
    EXPECT_TRUE(reader->Finish().ok());
    EXPECT_TRUE(read == value.substr(offset));
  }
  // The segment is free again once gRPC has let go of it.
  engine_.RunOnThread([&] { engine_.tasks.clear(); });
  EXPECT_TRUE(WaitFor([&] { return engine_.segments().leased_bytes() == 0; }));
}

TEST_F(StreamCallsTest, AValueThatDoesNotExistIsRefused) {
  v1::ReadValueRequest request;
  request.set_task_id(SubmitEcho());
  v1::ValueChunk chunk;
  {
    const auto context = Context();
    const auto reader = stub_->ReadValue(context.get(), request);
    EXPECT_FALSE(reader->Read(&chunk));
    const grpc::Status status = reader->Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_THAT(status.error_message(), HasSubstr("is QUEUED and has no value"));
  }
  engine_.RunOnThread(
      [&] { engine_.Finish(request.task_id(), scheduler::TaskState::kSucceeded, "v"); });
  request.set_offset(2);
  const auto context = Context();
  const auto reader = stub_->ReadValue(context.get(), request);
  EXPECT_FALSE(reader->Read(&chunk));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::OUT_OF_RANGE);
}

TEST_F(StreamCallsTest, FollowedOutputIsWholeAndEndsWithTheTask) {
  const engine::TaskId id = SubmitEcho();
  engine_.RunOnThread([&] {
    engine_.AppendOutput(id, engine::OutputStream::kStdout, "before ");
    engine_.AppendOutput(id, engine::OutputStream::kStderr, "unwanted");
  });
  v1::ReadOutputRequest request;
  request.set_task_id(id);
  request.set_stream(v1::OUTPUT_STREAM_STDOUT);
  request.set_follow(true);
  const auto context = Context();
  const auto reader = stub_->ReadOutput(context.get(), request);
  std::string read;
  std::string written = "before ";
  v1::Output piece;
  const auto read_all = [&] {
    while (read.size() < written.size() && reader->Read(&piece)) {
      EXPECT_EQ(piece.stream(), v1::OUTPUT_STREAM_STDOUT);
      EXPECT_EQ(piece.offset(), read.size());
      read += piece.data();
    }
    EXPECT_EQ(read, written);
  };
  read_all();
  for (int i = 0; i < 20; ++i) {
    written += absl::StrCat(i, " ");
    engine_.RunOnThread([&] {
      engine_.AppendOutput(id, engine::OutputStream::kStdout, absl::StrCat(i, " "));
      engine_.FlushSinks();
    });
    if (i % 5 == 0) read_all();
  }
  read_all();
  engine_.RunOnThread([&] {
    engine_.Finish(id, scheduler::TaskState::kSucceeded, "");
    engine_.FlushSinks();
  });
  EXPECT_FALSE(reader->Read(&piece));
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(WaitFor([&] { return engine_.sessions.empty(); }));
}

TEST_F(StreamCallsTest, AnOffsetNeedsAStream) {
  v1::ReadOutputRequest request;
  request.set_task_id(SubmitEcho());
  request.set_offset(3);
  const auto context = Context();
  const auto reader = stub_->ReadOutput(context.get(), request);
  v1::Output piece;
  EXPECT_FALSE(reader->Read(&piece));
  EXPECT_EQ(reader->Finish().error_message(),
            "offset: is a position in one stream; say which in the field stream");
}

TEST_F(StreamCallsTest, AWatchSendsEventsUntilItsClientGoes) {
  const engine::TaskId id = SubmitEcho();
  v1::WatchTasksRequest request;
  request.mutable_filter()->add_task_ids(id);
  request.set_output(true);
  const auto context = Context();
  const auto reader = stub_->Watch(context.get(), request);
  ASSERT_TRUE(WaitFor([&] { return engine_.sessions.size() == 1; }));
  engine_.RunOnThread([&] {
    EXPECT_EQ(engine_.sessions.begin()->second.watch.task_filter.ids,
              std::vector<engine::TaskId>{id});
    engine_.AppendOutput(id, engine::OutputStream::kStdout, "hello");
    engine_.Finish(id, scheduler::TaskState::kSucceeded, "value");
    engine_.FlushSinks();
  });
  v1::Event event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.task().output().data(), "hello");
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_EQ(event.task().finished().value(), "value");
  EXPECT_EQ(event.task().finished().state(), v1::TASK_STATE_SUCCEEDED);
  context->TryCancel();
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_TRUE(WaitFor([&] { return engine_.sessions.empty(); }));
}

TEST_F(StreamCallsTest, AnUnknownStateInAFilterIsNamed) {
  v1::WatchTasksRequest request;
  request.mutable_filter()->add_states(static_cast<v1::TaskState>(99));
  const auto context = Context();
  const auto reader = stub_->Watch(context.get(), request);
  v1::Event event;
  EXPECT_FALSE(reader->Read(&event));
  EXPECT_EQ(reader->Finish().error_message(), "filter.states[0]: 99 is no task state");
}

TEST_F(StreamCallsTest, PoolWatchBeginsWithASnapshotUnlessItResumes) {
  const auto pools = v1::PoolService::NewStub(Connect());
  v1::WatchPoolsRequest request;
  request.set_after_sequence(42);
  const auto context = Context();
  const auto reader = pools->Watch(context.get(), request);
  ASSERT_TRUE(WaitFor([&] { return engine_.sessions.size() == 1; }));
  engine_.RunOnThread([&] {
    const engine::WatchOptions& watch = engine_.sessions.begin()->second.watch;
    EXPECT_TRUE(watch.pools);
    EXPECT_FALSE(watch.tasks);
    EXPECT_FALSE(watch.snapshot);
    EXPECT_EQ(watch.after_sequence, 42);
  });
  context->TryCancel();
  EXPECT_FALSE(reader->Finish().ok());
}

}  // namespace
}  // namespace prefork::rpc
