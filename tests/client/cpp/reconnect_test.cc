#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "prefork/client.h"
#include "tests/client/cpp/service_test_base.h"

namespace prefork::client {
namespace {

using ::testing::HasSubstr;

using ReconnectTest = ServiceTest;

TEST_F(ReconnectTest, AcceptedDetachedTasksAreTakenUpAgain) {
  service_.HoldTasks();
  Client client = Connect();
  std::vector<TaskHandle> tasks;
  for (int i = 0; i < 10; ++i) {
    tasks.push_back(
        *client.Submit({.function = "f", .payload = std::to_string(i), .detached = true}));
    ASSERT_TRUE(tasks.back().WaitAccepted(kPatience).ok());
  }
  service_.BreakSessions();
  ASSERT_TRUE(service_.AwaitSessions(2));
  EXPECT_EQ(service_.opens()[1].resume_task_ids_size(), 10);
  service_.ReleaseTasks();
  for (int i = 0; i < 10; ++i) {
    const auto result = tasks[static_cast<size_t>(i)].Get(kPatience);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->value, std::to_string(i));
  }
  EXPECT_EQ(service_.submitted().size(), 10U) << "accepted tasks were submitted twice";
}

TEST_F(ReconnectTest, UnacknowledgedDetachedTasksAreSubmittedAgainWithTheirRequestIds) {
  service_.IgnoreSubmits(true);
  Client client = Connect();
  const auto task = client.Submit({.function = "f", .payload = "p", .detached = true});
  ASSERT_TRUE(service_.AwaitSubmitted(1));
  service_.IgnoreSubmits(false);
  service_.BreakSessions();
  const auto result = task->Get(kPatience);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->value, "p");
  const auto submitted = service_.submitted();
  ASSERT_EQ(submitted.size(), 2U);
  EXPECT_FALSE(submitted[0].spec.request_id().empty());
  EXPECT_EQ(submitted[0].spec.request_id(), submitted[1].spec.request_id());
  EXPECT_EQ(submitted[0].task_id, submitted[1].task_id);
}

TEST_F(ReconnectTest, GeneratedRequestIdsAreDistinctAndGivenOnesAreKept) {
  Client client = Connect();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(client.Submit({.function = "f", .detached = true}).ok());
  }
  ASSERT_TRUE(client.Submit({.function = "f", .request_id = "mine", .detached = true}).ok());
  ASSERT_TRUE(client.WaitAll(kPatience).ok());
  std::set<std::string> ids;
  for (const auto& task : service_.submitted()) ids.insert(task.spec.request_id());
  EXPECT_EQ(ids.size(), 101U);
  EXPECT_EQ(ids.count("mine"), 1U);
}

TEST_F(ReconnectTest, BoundTasksFailWithWhatIsUnknownAndNewOnesRun) {
  service_.HoldTasks();
  Client client = Connect();
  const auto bound = client.Submit({.function = "f"});
  ASSERT_TRUE(bound->WaitAccepted(kPatience).ok());
  service_.BreakSessions();
  const auto result = bound->Get(kPatience);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr(std::to_string(bound->id())));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("detached tasks survive"));
  service_.ReleaseTasks();
  const auto after = client.Submit({.function = "f", .payload = "again"});
  EXPECT_EQ(after->Get(kPatience)->value, "again");
}

TEST_F(ReconnectTest, TasksSubmittedWhileTheDaemonIsAwayRunWhenItIsBack) {
  Client client = Connect();
  service_.Stop();
  const auto task = client.Submit({.function = "f", .payload = "p", .detached = true});
  ASSERT_TRUE(task.ok());
  EXPECT_EQ(task->Wait(absl::Milliseconds(50)).code(), absl::StatusCode::kDeadlineExceeded);
  service_.Start();
  const auto result = task->Get(kPatience);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->value, "p");
}

TEST_F(ReconnectTest, NothingHangsWhenTheDaemonStaysAway) {
  service_.HoldTasks();
  Client client = Connect({.reconnect_timeout = absl::Milliseconds(200)});
  const auto accepted = client.Submit({.function = "f", .detached = true});
  ASSERT_TRUE(accepted->WaitAccepted(kPatience).ok());
  service_.Stop();
  const auto result = accepted->Get(kPatience);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("goes on without us"));
  const auto later = client.Submit({.function = "f"});
  ASSERT_TRUE(later.ok());
  EXPECT_EQ(later->Get(kPatience).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ReconnectTest, ATaskThatTheDaemonHasForgottenIsNotFound) {
  service_.HoldTasks();
  Client client = Connect();
  const auto task = client.Submit({.function = "f", .detached = true});
  ASSERT_TRUE(task->WaitAccepted(kPatience).ok());
  service_.ForgetTasks();
  service_.BreakSessions();
  const auto result = task->Get(kPatience);
  EXPECT_EQ(result.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("no longer knows task"));
}

TEST_F(ReconnectTest, ACancelAskedForWhileDisconnectedIsSentAfterwards) {
  service_.HoldTasks();
  Client client = Connect();
  const auto task = client.Submit({.function = "f", .detached = true});
  ASSERT_TRUE(task->WaitAccepted(kPatience).ok());
  service_.Stop();
  task->Cancel();
  service_.Start();
  ASSERT_TRUE(service_.AwaitCancelled(1));
  const auto result = task->Get(kPatience);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->state, TaskState::kCancelled);
}

TEST_F(ReconnectTest, ARefusalForGoodIsReportedAtOnce) {
  service_.RefuseSessions(grpc::StatusCode::PERMISSION_DENIED, "not your daemon");
  const absl::Status status = Client::Connect({.address = service_.address()}).status();
  EXPECT_EQ(status, absl::PermissionDeniedError("not your daemon"));
}

TEST_F(ReconnectTest, ManyBreaksLoseNoDetachedTask) {
  Client client = Connect();
  std::vector<TaskHandle> tasks;
  for (int i = 0; i < 2000; ++i) {
    tasks.push_back(
        *client.Submit({.function = "f", .payload = std::to_string(i), .detached = true}));
    if (i % 200 == 100) service_.BreakSessions();
  }
  for (int i = 0; i < 2000; ++i) {
    const auto result = tasks[static_cast<size_t>(i)].Get(kPatience);
    ASSERT_TRUE(result.ok()) << i << ": " << result.status();
    EXPECT_EQ(result->value, std::to_string(i));
  }
}

}  // namespace
}  // namespace prefork::client
