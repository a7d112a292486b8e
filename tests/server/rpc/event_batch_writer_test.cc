#include "server/rpc/event_batch_writer.h"

#include <sys/wait.h>

#include <csignal>
#include <string>

#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "prefork/v1/task_service.pb.h"
#include "server/rpc/event_to_proto.h"
#include "server/rpc/message_io.h"
#include "server/rpc/task_to_proto.h"

namespace prefork::rpc {
namespace {

v1::EventBatch TakeBatch(EventBatchWriter* writer) {
  v1::SessionResponse response;
  const absl::Status parsed = ParseMessage(writer->Take(), &response);
  EXPECT_TRUE(parsed.ok()) << parsed;
  EXPECT_TRUE(response.has_events());
  return response.events();
}

engine::EventRecord FinishedEvent(engine::TaskId id, scheduler::TaskState state) {
  engine::EventRecord event;
  event.kind = engine::EventRecord::Kind::kFinished;
  event.task = id;
  event.state = state;
  return event;
}

TEST(EventBatchWriterTest, RunsOfAcceptedTasksBecomeOneRange) {
  EventBatchWriter writer;
  EXPECT_TRUE(writer.empty());
  writer.AddAccepted(10, 100, 3);
  writer.AddAccepted(13, 103, 1);
  writer.AddAccepted(20, 104, 1);
  EXPECT_GT(writer.size_bytes(), 0);
  const v1::EventBatch batch = TakeBatch(&writer);
  ASSERT_EQ(batch.accepted_size(), 2);
  EXPECT_EQ(batch.accepted(0).first_tag(), 10);
  EXPECT_EQ(batch.accepted(0).first_task_id(), 100);
  EXPECT_EQ(batch.accepted(0).count(), 4);
  EXPECT_EQ(batch.accepted(1).first_tag(), 20);
  EXPECT_EQ(batch.accepted(1).count(), 1);
  EXPECT_TRUE(writer.empty());
}

// What the writer encodes by hand is what the generated classes would have written.
TEST(EventBatchWriterTest, FinishedEventsAreTheSameMessageAsTheGeneratedOne) {
  engine::ExitReport report;
  report.cause = scheduler::EndCause::kWorkerDied;
  report.wait_status = SIGKILL;
  report.stderr_tail = "bytes that are no UTF-8: \xff";
  const std::vector<engine::ExitReport> earlier(2, report);
  const struct {
    uint64_t tag;
    scheduler::TaskState state;
    std::string value, content_type, error;
    const engine::ExitReport* report;
    const std::vector<engine::ExitReport>* earlier;
  } kCases[] = {
      {1, scheduler::TaskState::kSucceeded, "", "", "", nullptr, nullptr},
      {0, scheduler::TaskState::kSucceeded, "v", "", "", nullptr, nullptr},
      {1ull << 63, scheduler::TaskState::kSucceeded, std::string(300, 'v'), "text/plain", "",
       nullptr, nullptr},
      {5, scheduler::TaskState::kSucceeded, "v", "not \xff utf-8", "", nullptr, nullptr},
      {6, scheduler::TaskState::kSucceeded, std::string(kMaxInlineValueBytes, 'v'), "", "", nullptr,
       nullptr},
      {7, scheduler::TaskState::kSucceeded, std::string(kMaxInlineValueBytes + 1, 'v'), "", "",
       nullptr, nullptr},
      {8, scheduler::TaskState::kFailed, "", "", "division by zero", &report, nullptr},
      {9, scheduler::TaskState::kCrashed, "", "", "", &report, &earlier},
      {10, scheduler::TaskState::kSucceeded, "v", "", "", nullptr, &earlier},
  };
  for (const auto& test : kCases) {
    const engine::EventRecord event = FinishedEvent(test.tag + 1000, test.state);
    const engine::Bytes value(test.value);
    EventBatchWriter writer;
    writer.AddFinished(test.tag, event, value, test.content_type, test.error, test.report,
                       test.earlier);
    const v1::EventBatch batch = TakeBatch(&writer);

    v1::TaskEvent expected;
    ToProto(event, &expected);
    expected.set_tag(test.tag);
    ResultToProto(test.state, value, test.content_type, test.error, test.report, test.earlier,
                  expected.mutable_finished());
    ASSERT_EQ(batch.events_size(), 1);
    EXPECT_EQ(batch.events(0).finished().has_exit_report(), test.report != nullptr);
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(batch.events(0), expected))
        << test.tag << ": " << batch.events(0).ShortDebugString().substr(0, 300);
  }
}

TEST(EventBatchWriterTest, KindsMixInOneBatchInOrder) {
  EventBatchWriter writer;
  writer.AddAccepted(1, 11, 1);
  writer.AddRejected(2, absl::NotFoundError("no pool 'x'"));
  engine::EventRecord running;
  running.task = 11;
  running.state = scheduler::TaskState::kRunning;
  running.worker_index = 0;
  running.worker_generation = 4;
  writer.AddEvent(1, running);
  engine::EventRecord output;
  output.kind = engine::EventRecord::Kind::kOutput;
  output.task = 11;
  output.stream = engine::OutputStream::kStderr;
  output.offset = 5;
  output.data = std::make_shared<const std::string>("oops");
  writer.AddEvent(1, output);
  writer.AddFinished(1, FinishedEvent(11, scheduler::TaskState::kSucceeded), engine::Bytes("r"), "",
                     "", nullptr, nullptr);
  const v1::EventBatch batch = TakeBatch(&writer);
  EXPECT_EQ(batch.accepted_size(), 1);
  ASSERT_EQ(batch.rejected_size(), 1);
  EXPECT_EQ(batch.rejected(0).status().message(), "no pool 'x'");
  ASSERT_EQ(batch.events_size(), 3);
  EXPECT_EQ(batch.events(0).state().state(), v1::TASK_STATE_RUNNING);
  EXPECT_TRUE(batch.events(0).state().has_worker_index());
  EXPECT_EQ(batch.events(1).output().data(), "oops");
  EXPECT_EQ(batch.events(1).output().stream(), v1::OUTPUT_STREAM_STDERR);
  EXPECT_EQ(batch.events(2).finished().value(), "r");
}

}  // namespace
}  // namespace prefork::rpc
