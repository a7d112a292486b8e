#include "prefork/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "tests/client/cpp/service_test_base.h"

namespace prefork::client {
namespace {

using ::testing::HasSubstr;

using ClientTest = ServiceTest;

TEST_F(ClientTest, OneTaskGivesItsValue) {
  Client client = Connect();
  EXPECT_EQ(client.daemon_version(), "fake-1");
  const auto task = client.Submit({.function = "echo", .payload = "hello"});
  ASSERT_TRUE(task.ok()) << task.status();
  const auto result = task->Get(kPatience);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->ok());
  EXPECT_EQ(result->value, "hello");
  EXPECT_GT(task->id(), 0U);
}

TEST_F(ClientTest, TasksOneAfterTheOtherUseTheWaitingThread) {
  Client client = Connect();
  for (int i = 0; i < 500; ++i) {
    const auto task = client.Submit({.function = "echo", .payload = std::to_string(i)});
    ASSERT_TRUE(task.ok());
    const auto result = task->Get(kPatience);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->value, std::to_string(i));
  }
}

TEST_F(ClientTest, ManyTasksTravelInBatchesAndAllEnd) {
  Client client = Connect();
  const auto echo = client.Prepare({.function = "echo"});
  ASSERT_TRUE(echo.ok());
  constexpr int kTasks = 100'000;
  std::vector<TaskHandle> tasks;
  tasks.reserve(kTasks);
  for (int i = 0; i < kTasks; ++i) {
    auto task = echo->Submit(std::to_string(i));
    ASSERT_TRUE(task.ok()) << task.status();
    tasks.push_back(*std::move(task));
  }
  ASSERT_TRUE(client.WaitAll(absl::Seconds(60)).ok());
  for (int i = 0; i < kTasks; ++i) {
    ASSERT_EQ(tasks[static_cast<size_t>(i)].Get()->value, std::to_string(i));
  }
  const std::vector<size_t> sizes = service_.batch_sizes();
  EXPECT_LT(sizes.size(), kTasks / 10) << "tasks did not gather while a write was under way";
  for (const size_t size : sizes) EXPECT_LE(size, 1000U);
}

TEST_F(ClientTest, ThreadsShareOneClient) {
  constexpr int kThreads = 8;
  constexpr int kEach = 200;
  Client client = Connect();
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  std::atomic<int> right{0};
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&client, &right, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string payload = std::to_string(t) + "/" + std::to_string(i);
        const auto task = client.Submit({.function = "echo", .payload = payload});
        const auto result = task->Get(kPatience);
        if (result.ok() && result->value == payload) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, kThreads * kEach);
}

TEST_F(ClientTest, CallbacksRunOnOneThreadWhichIsNotTheCallers) {
  Client client = Connect();
  absl::Mutex mu;
  std::vector<std::thread::id> threads;
  std::vector<std::string> values;
  for (int i = 0; i < 1000; ++i) {
    const auto task = client.Submit(
        {.function = "echo", .payload = std::to_string(i)},
        {.on_done = [&](const TaskHandle& handle, const absl::StatusOr<TaskResult>& result) {
          EXPECT_TRUE(handle.done());
          absl::MutexLock lock(&mu);
          threads.push_back(std::this_thread::get_id());
          values.push_back(result->value);
        }});
    ASSERT_TRUE(task.ok());
  }
  absl::MutexLock lock(&mu);
  const auto all = [&] { return values.size() == 1000; };
  ASSERT_TRUE(mu.AwaitWithTimeout(absl::Condition(&all), kPatience));
  for (const std::thread::id& id : threads) EXPECT_EQ(id, threads.front());
  EXPECT_NE(threads.front(), std::this_thread::get_id());
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(values[static_cast<size_t>(i)], std::to_string(i));
}

TEST_F(ClientTest, EventsReachTheCallbackInOrder) {
  service_.HoldTasks();
  Client client = Connect({.events = {.states = true, .output = true, .progress = true}});
  std::vector<TaskEvent> events;
  absl::Notification done;
  const auto task = client.Submit(
      {.function = "f"},
      {.on_done = [&](const TaskHandle&, const absl::StatusOr<TaskResult>&) { done.Notify(); },
       .on_event = [&](const TaskHandle&, const TaskEvent& event) { events.push_back(event); }});
  ASSERT_TRUE(task->WaitAccepted(kPatience).ok());
  v1::TaskEvent event;
  event.mutable_state()->set_state(v1::TASK_STATE_RUNNING);
  service_.SendEvent(task->id(), event);
  event.mutable_output()->set_data("line\n");
  event.mutable_output()->set_stream(v1::OUTPUT_STREAM_STDERR);
  service_.SendEvent(task->id(), event);
  event.mutable_progress()->set_done(3);
  service_.SendEvent(task->id(), event);
  event.mutable_partial()->set_value("part");
  service_.SendEvent(task->id(), event);
  service_.ReleaseTasks();
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(kPatience));
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(std::get<StateChanged>(events[0]).state, TaskState::kRunning);
  EXPECT_EQ(std::get<OutputWritten>(events[1]).data, "line\n");
  EXPECT_TRUE(std::get<OutputWritten>(events[1]).is_stderr);
  EXPECT_EQ(std::get<ProgressMade>(events[2]).done, 3);
  EXPECT_EQ(std::get<PartialValue>(events[3]).value, "part");
  EXPECT_TRUE(service_.opens()[0].output());
}

TEST_F(ClientTest, WaitingInACallbackIsRefusedInsteadOfHanging) {
  service_.HoldTasks();
  Client client = Connect();
  const auto other = client.Submit({.function = "f"});
  absl::Status inside;
  absl::Notification done;
  v1::TaskEvent event;
  event.mutable_state()->set_state(v1::TASK_STATE_RUNNING);
  const auto task =
      client.Submit({.function = "f"}, {.on_event = [&](const TaskHandle&, const TaskEvent&) {
                      inside = other->Wait();
                      done.Notify();
                    }});
  ASSERT_TRUE(task->WaitAccepted(kPatience).ok());
  service_.SendEvent(task->id(), event);
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(inside.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ClientTest, GetTimesOutAndTheTaskGoesOn) {
  service_.HoldTasks();
  Client client = Connect();
  const auto task = client.Submit({.function = "f", .payload = "late"});
  ASSERT_TRUE(task->WaitAccepted(kPatience).ok());
  const auto early = task->Get(absl::Milliseconds(20));
  EXPECT_EQ(early.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(early.status().message()), HasSubstr("goes on"));
  service_.ReleaseTasks();
  EXPECT_EQ(task->Get(kPatience)->value, "late");
}

TEST_F(ClientTest, CancelReachesTheDaemonWhateverTheMoment) {
  service_.HoldTasks();
  Client client = Connect();
  const auto at_once = client.Submit({.function = "f"});
  at_once->Cancel();
  const auto later = client.Submit({.function = "f"});
  ASSERT_TRUE(later->WaitAccepted(kPatience).ok());
  later->Cancel();
  later->Cancel();
  for (const auto* task : {&at_once, &later}) {
    const auto result = (*task)->Get(kPatience);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->state, TaskState::kCancelled);
    EXPECT_EQ(ToStatus(*result).code(), absl::StatusCode::kCancelled);
  }
  EXPECT_EQ(service_.cancelled_ids().size(), 2U);
}

TEST_F(ClientTest, AFailedTaskIsAResultAndARejectedOneAnError) {
  service_.Answer([](const v1::TaskSpec&) {
    v1::TaskResult result;
    result.set_state(v1::TASK_STATE_CRASHED);
    result.mutable_exit_report()->set_cause(v1::END_CAUSE_WORKER_DIED);
    result.mutable_exit_report()->set_signal(9);
    result.mutable_exit_report()->set_detail("worker default/0 was killed by signal 9 (SIGKILL)");
    return result;
  });
  Client client = Connect();
  const auto crashed = client.Submit({.function = "f"})->Get(kPatience);
  ASSERT_TRUE(crashed.ok());
  EXPECT_EQ(crashed->state, TaskState::kCrashed);
  EXPECT_EQ(crashed->exit_report->signal, 9);
  EXPECT_EQ(ToStatus(*crashed).code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(ToStatus(*crashed).message()), HasSubstr("SIGKILL"));

  service_.RejectWith(grpc::StatusCode::NOT_FOUND, "no pool 'nosuch'");
  const auto rejected = client.Submit({.pool = "nosuch", .function = "f"})->Get(kPatience);
  EXPECT_EQ(rejected.status(), absl::NotFoundError("no pool 'nosuch'"));
}

TEST_F(ClientTest, ATaskThatAnotherSessionTookOverEndsWithWhatTheDaemonSays) {
  service_.HoldTasks();
  Client client = Connect();
  const auto task = client.Submit({.function = "f"});
  ASSERT_TRUE(task->WaitAccepted(kPatience).ok());
  service_.TakeOverTasks();
  EXPECT_EQ(task->Get(kPatience).status(), absl::AbortedError("taken over by session 2"));
}

TEST_F(ClientTest, BoundedSubmitWaitsOrRefuses) {
  service_.HoldTasks();
  Client client = Connect({.max_in_flight = 2});
  ASSERT_TRUE(client.Submit({.function = "f"}).ok());
  ASSERT_TRUE(client.Submit({.function = "f"}).ok());
  const auto refused = client.TrySubmit({.function = "f"});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);

  std::atomic<bool> submitted{false};
  std::thread third([&] {
    EXPECT_TRUE(client.Submit({.function = "f"}).ok());
    submitted = true;
  });
  ASSERT_TRUE(service_.AwaitSubmitted(2));
  EXPECT_FALSE(submitted);
  service_.ReleaseTasks();
  third.join();
  EXPECT_TRUE(client.WaitAll(kPatience).ok());
}

TEST_F(ClientTest, SpecsWithoutOrWithTwoKindsOfWorkAreRefusedAtOnce) {
  Client client = Connect();
  EXPECT_EQ(client.Submit({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(client.Submit({.function = "f", .command = Command{}}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(client.Prepare({.function = "f", .payload = "p"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ClientTest, LargePayloadsAndValuesTravelByThemselves) {
  service_.set_max_inline_bytes(1000);
  Client client = Connect();
  std::string large(3'000'000, 'x');
  large[1'234'567] = 'y';
  absl::Notification done;
  const auto task = client.Submit(
      {.function = "f", .payload = large},
      {.on_done = [&](const TaskHandle&, const absl::StatusOr<TaskResult>&) { done.Notify(); }});
  ASSERT_TRUE(task.ok());
  const auto result = task->Get(kPatience);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->value == large);
  EXPECT_EQ(service_.uploads(), 1U);
  EXPECT_TRUE(done.WaitForNotificationWithTimeout(kPatience));
}

TEST_F(ClientTest, ALargeValueOfASmallTaskIsFetched) {
  const std::string large(1'000'000, 'v');
  service_.Answer([&](const v1::TaskSpec&) {
    v1::TaskResult result;
    result.set_state(v1::TASK_STATE_SUCCEEDED);
    result.set_value(large);
    return result;
  });
  Client client = Connect();
  const auto result = client.Submit({.function = "f"})->Get(kPatience);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_TRUE(result->value == large);
}

TEST_F(ClientTest, HandlesOutliveTheClient) {
  service_.HoldTasks();
  TaskHandle task;
  {
    Client client = Connect();
    task = *client.Submit({.function = "f"});
  }
  EXPECT_EQ(task.Get().status().code(), absl::StatusCode::kCancelled);
  task.Cancel();
}

TEST_F(ClientTest, DetachedTasksAreAcceptedBeforeTheClientEnds) {
  service_.HoldTasks();
  for (int i = 0; i < 20; ++i) {
    Client client = Connect();
    ASSERT_TRUE(client.Submit({.function = "f", .detached = true}).ok());
  }
  EXPECT_EQ(service_.submitted().size(), 20U);
}

TEST(ClientConnect, NamesTheSocketAndTheCureWhenNobodyAnswers) {
  const absl::Status status = Client::Connect({.address = "unix:/nonexistent/p.sock"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/p.sock does not exist"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("start it"));
}

TEST(ClientConnect, RefusesAnAddressThatIsNoSocketPath) {
  const absl::Status status = Client::Connect({.address = "localhost:50051"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("unix:/path"));
}

}  // namespace
}  // namespace prefork::client
