// Clients that stop reading, disconnect in the middle, or lose their daemon; and a daemon that has
// to end although nobody lets it.
#include <signal.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "prefork/v1/task_service.grpc.pb.h"
#include "tests/fault/fault_bed.h"

namespace prefork::fault {
namespace {

using client::EndCause;
using client::TaskHandle;
using client::TaskResult;
using client::TaskState;

// A session without a client library: it reads only when it is told to.
class BareSession {
 public:
  explicit BareSession(const std::string& address)
      : stub_(v1::TaskService::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))),
        stream_(stub_->Session(&context_)) {
    v1::SessionRequest open;
    open.mutable_open()->set_client_name("bare");
    EXPECT_TRUE(stream_->Write(open));
    v1::SessionResponse opened;
    EXPECT_TRUE(stream_->Read(&opened));
    EXPECT_TRUE(opened.has_opened());
  }
  // As if the process were gone.
  ~BareSession() {
    context_.TryCancel();
    stream_->Finish();
  }

  // False when the daemon has ended the stream.
  bool Submit(const v1::TaskSpec& defaults, int count) {
    v1::SessionRequest request;
    *request.mutable_submit()->mutable_defaults() = defaults;
    for (int i = 0; i < count; ++i) request.mutable_submit()->add_items()->set_tag(next_tag_++);
    return stream_->Write(request);
  }
  // The ends of the next so many tasks.
  std::vector<v1::TaskState> ReadEnds(size_t count) {
    std::vector<v1::TaskState> ends;
    v1::SessionResponse response;
    while (ends.size() < count && stream_->Read(&response)) {
      for (const v1::TaskEvent& event : response.events().events()) {
        if (event.has_finished()) ends.push_back(event.finished().state());
      }
    }
    return ends;
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::TaskService::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>> stream_;
  uint64_t next_tag_ = 1;
};

v1::TaskSpec Spec(const std::string& function, const std::string& payload = "") {
  v1::TaskSpec spec;
  spec.set_pool("p");
  spec.set_function(function);
  spec.set_payload(payload);
  return spec;
}

uint64_t Unfinished(FaultBed& bed) {
  const absl::StatusOr<v1::DaemonStatus> status = bed.api().GetStatus();
  EXPECT_TRUE(status.ok()) << status.status();
  return status.ok() ? status->tasks_unfinished() : ~uint64_t{0};
}

TEST(ClientFaultTest, AClientThatDoesNotReadHoldsUpNobodyAndLosesNothing) {
  constexpr int kTasks = 20'000;
  FaultBed bed({.config = MisbehavingPool("p", 2)});
  {
    BareSession lazy(bed.daemon().address());
    for (int i = 0; i < kTasks; i += 1000) {
      ASSERT_TRUE(lazy.Submit(Spec("echo", std::string(1000, 'x')), 1000));
    }
    // 20 MB of results are far more than the stream takes, and all tasks end all the same.
    ASSERT_TRUE(testing::WaitFor([&] { return Unfinished(bed) == 0; }, kPatience));
    for (int i = 0; i < 50; ++i) bed.ExpectWorks("p");
    const std::vector<v1::TaskState> ends = lazy.ReadEnds(kTasks);
    EXPECT_EQ(ends.size(), static_cast<size_t>(kTasks));
    for (const v1::TaskState state : ends) ASSERT_EQ(state, v1::TASK_STATE_SUCCEEDED);
  }
}

// What its results may take in the daemon is bounded: it gets no more work until it reads.
TEST(ClientFaultTest, AClientThatReadsNothingOfMuchIsGivenNoMoreWork) {
  constexpr int kTasks = 30'000;  // of 16 kB each: 480 MB, more than a session may leave unread
  FaultBed bed({.config = MisbehavingPool("p", 2)});
  BareSession lazy(bed.daemon().address());
  // All are accepted before the first one runs: later it would not be read.
  ASSERT_TRUE(bed.api().PausePool("p").ok());
  for (int i = 0; i < kTasks; i += 1000) {
    ASSERT_TRUE(lazy.Submit(Spec("value_bytes", "16000"), 1000));
  }
  ASSERT_TRUE(testing::WaitFor([&] { return Unfinished(bed) == kTasks; }, kPatience));
  ASSERT_TRUE(bed.api().ResumePool("p").ok());
  ASSERT_TRUE(testing::WaitFor(
      [&] {
        const v1::Pool pool = bed.Pool("p");
        return pool.tasks_finished() > 0 && pool.workers_busy() == 0 && pool.tasks_queued() > 0;
      },
      kPatience));
  for (int i = 0; i < 50; ++i) bed.ExpectWorks("p");
  EXPECT_GT(Unfinished(bed), 0u);
  const std::vector<v1::TaskState> ends = lazy.ReadEnds(kTasks);
  EXPECT_EQ(ends.size(), static_cast<size_t>(kTasks));
  for (const v1::TaskState state : ends) ASSERT_EQ(state, v1::TASK_STATE_SUCCEEDED);
}

TEST(ClientFaultTest, AClientThatGoesWithoutReadingLeavesNothingBehind) {
  FaultBed bed({.config = MisbehavingPool("p", 2)});
  for (int round = 0; round < 3; ++round) {
    BareSession lazy(bed.daemon().address());
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(lazy.Submit(Spec("echo", "x"), 1000));
    ASSERT_TRUE(lazy.Submit(Spec("hang"), 5));
  }
  ASSERT_TRUE(testing::WaitFor([&] { return Unfinished(bed) == 0; }, kPatience));
}

TEST(ClientFaultTest, ADisconnectCancelsWhatIsBoundToTheSession) {
  FaultBed bed({.config = MisbehavingPool("p", 3, "task_grace = \"50ms\"")});
  v1::TaskSpec detached = Spec("wait_cancelled");
  detached.set_detached(true);
  {
    BareSession session(bed.daemon().address());
    ASSERT_TRUE(session.Submit(Spec("hang"), 1));
    ASSERT_TRUE(session.Submit(Spec("ignore_term"), 1));
    ASSERT_TRUE(session.Submit(detached, 1));
    ASSERT_TRUE(session.Submit(Spec("noop"), 100));  // queued behind them
    ASSERT_TRUE(testing::WaitFor([&] { return bed.Pool("p").workers_busy() == 3; }, kPatience));
  }
  ASSERT_TRUE(testing::WaitFor([&] { return Unfinished(bed) == 1; }, kPatience));
  const absl::StatusOr<v1::ListTasksResponse> all = [&] {
    v1::ListTasksRequest request;
    request.set_page_size(1000);
    return bed.api().ListTasks(request);
  }();
  ASSERT_TRUE(all.ok()) << all.status();
  int gone = 0;
  uint64_t survivor = 0;
  for (const v1::Task& task : all->tasks()) {
    if (task.state() == v1::TASK_STATE_RUNNING) survivor = task.task_id();
    if (task.state() != v1::TASK_STATE_CANCELLED) continue;
    ++gone;
    EXPECT_EQ(task.result().exit_report().cause(), v1::END_CAUSE_CLIENT_GONE);
  }
  EXPECT_GE(gone, 2);
  ASSERT_NE(survivor, 0u);
  const absl::StatusOr<v1::Task> cancelled = bed.api().CancelTask(survivor, false);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state(), v1::TASK_STATE_CANCELLED);
}

TEST(ClientFaultTest, ManySessionsThatComeAndGo) {
  FaultBed bed({.config = MisbehavingPool("p", 2)});
  for (int round = 0; round < 30; ++round) {
    std::vector<std::unique_ptr<BareSession>> sessions;
    for (int i = 0; i < 5; ++i) {
      sessions.push_back(std::make_unique<BareSession>(bed.daemon().address()));
      ASSERT_TRUE(sessions.back()->Submit(Spec(i == 0 ? "hang" : "echo"), 20));
    }
  }
  bed.ExpectWorks("p");
}

TEST(ClientFaultTest, StubbornTasksDoNotHoldUpTheEnd) {
  FaultBed bed({.config = "[daemon]\ndrain_timeout = \"500ms\"\n" + MisbehavingPool("p", 3)});
  std::vector<TaskHandle> tasks = {bed.Submit("p", "orphan_and_hang"),
                                   bed.Submit("p", "orphan_and_hang"),
                                   bed.Submit("p", "ignore_term")};
  constexpr size_t kQueued = 200;
  tasks.reserve(tasks.size() + kQueued);
  for (size_t i = 0; i < kQueued; ++i) tasks.push_back(bed.Submit("p", "noop"));
  ASSERT_TRUE(testing::WaitFor([&] { return bed.Pool("p").workers_busy() == 3; }, kPatience));
  const absl::Time begin = absl::Now();
  const absl::StatusOr<int> stopped = bed.daemon().Stop(absl::Seconds(20));
  ASSERT_TRUE(stopped.ok()) << stopped.status();
  EXPECT_EQ(*stopped, 0);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  for (const TaskHandle& task : tasks) {
    const TaskResult result = FaultBed::End(task);
    if (result.ok()) continue;
    ExpectEnd(result, TaskState::kCancelled, EndCause::kShutdown);
  }
}

// kill -9 of the daemon: its processes end by themselves, and the next one takes over the socket.
TEST(ClientFaultTest, NothingOutlivesAKilledDaemon) {
  FaultBed bed({.config = MisbehavingPool("p", 2) + CommandPool("c", 2)});
  bed.Submit("p", "ignore_term");
  bed.Submit("p", "orphan_and_hang");
  bed.Submit({.pool = "c",
              .command = client::Command{
                  .argv = {"sh", "-c", "trap '' TERM; setsid sleep 1000 & sleep 1000"}}});
  ASSERT_TRUE(testing::WaitFor([&] { return bed.Pool("p").workers_busy() == 2; }, kPatience));
  ASSERT_TRUE(testing::WaitFor([&] { return bed.Pool("c").workers_busy() == 1; }, kPatience));
  ASSERT_TRUE(bed.daemon().Kill().ok());
  EXPECT_THAT(bed.daemon().Leftovers(kPatience), ::testing::IsEmpty());
  absl::StatusOr<std::unique_ptr<testing::Daemon>> next = testing::Daemon::Start(
      {.config = MisbehavingPool("p", 1), .flags = {"--socket", bed.daemon().socket()}});
  ASSERT_TRUE(next.ok()) << next.status();
  bed.Reconnect();
  bed.ExpectWorks("p");
}

}  // namespace
}  // namespace prefork::fault
