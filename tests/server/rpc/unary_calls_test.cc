#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "server/engine/errors.h"
#include "tests/server/rpc/rpc_fixture.h"

namespace prefork::rpc {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class UnaryCallsTest : public RpcTest {
 protected:
  grpc::Status Submit(const v1::TaskSpec& spec, v1::SubmitResponse* response) {
    v1::SubmitRequest request;
    *request.mutable_task() = spec;
    return stub_->Submit(Context().get(), request, response);
  }
  engine::TaskId SubmitEcho() {
    v1::TaskSpec spec;
    spec.set_function("echo");
    v1::SubmitResponse response;
    const grpc::Status status = Submit(spec, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.task_id();
  }

  std::unique_ptr<v1::TaskService::Stub> stub_ = v1::TaskService::NewStub(Connect());
};

TEST_F(UnaryCallsTest, SubmitHandsTheTaskToTheEngineAndAnswersItsId) {
  v1::TaskSpec spec;
  spec.set_pool("numbers");
  spec.set_function("square");
  spec.set_payload("7");
  spec.set_request_id("once");
  v1::SubmitResponse response;
  const grpc::Status status = Submit(spec, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  engine_.RunOnThread([&] {
    const FakeEngine::Task& task = engine_.tasks.at(response.task_id());
    EXPECT_EQ(task.info.options->pool, "numbers");
    EXPECT_EQ(task.info.options->function, "square");
    EXPECT_EQ(task.payload.view(), "7");
    EXPECT_EQ(task.info.request_id, "once");
    EXPECT_EQ(task.info.uid, 1000);
  });
}

TEST_F(UnaryCallsTest, LargePayloadTravelsInASegment) {
  v1::TaskSpec spec;
  spec.set_function("echo");
  spec.set_payload(std::string(1 << 20, 'x'));
  v1::SubmitResponse response;
  ASSERT_TRUE(Submit(spec, &response).ok());
  engine_.RunOnThread(
      [&] { EXPECT_NE(engine_.tasks.at(response.task_id()).payload.segment(), nullptr); });
}

TEST_F(UnaryCallsTest, BadFieldsAreNamedAllAtOnce) {
  v1::TaskSpec spec;
  spec.set_priority(5000);
  v1::SubmitResponse response;
  const grpc::Status status = Submit(spec, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(),
            "task.function: neither function nor command is set; say what to run (and 1 more)");
  const auto bad_request = DetailOf<google::rpc::BadRequest>(status);
  ASSERT_TRUE(bad_request.has_value());
  ASSERT_EQ(bad_request->field_violations_size(), 2);
  EXPECT_EQ(bad_request->field_violations(1).field(), "task.priority");
  EXPECT_EQ(bad_request->field_violations(1).description(), "5000 is not between -1000 and 1000");
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(status)->domain(), "prefork");
}

TEST_F(UnaryCallsTest, BytesThatAreNoMessageAreAnsweredInWords) {
  const std::shared_ptr<grpc::Channel> channel = Connect();
  grpc::GenericStub stub(channel);
  v1::SubmitRequest request;
  request.mutable_task()->set_function("\xc3\x28");  // a text field that is not UTF-8
  const grpc::Slice slice(request.SerializePartialAsString());
  const grpc::ByteBuffer bytes(&slice, 1);
  grpc::ByteBuffer response;
  grpc::Status status;
  absl::Notification done;
  const auto context = Context();
  stub.UnaryCall(context.get(), "/prefork.v1.TaskService/Submit", {}, &bytes, &response,
                 [&](grpc::Status s) {
                   status = std::move(s);
                   done.Notify();
                 });
  done.WaitForNotification();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("prefork.v1.SubmitRequest"));
  EXPECT_THAT(status.error_message(), HasSubstr("UTF-8"));
}

TEST_F(UnaryCallsTest, FullQueueIsResourceExhaustedWithAdvice) {
  engine_.RunOnThread([&] {
    engine_.refuse_submits =
        engine::MakeError(absl::StatusCode::kResourceExhausted, engine::reason::kQueueFull,
                          "pool 'default' has 10 tasks, its limit", "default");
  });
  v1::TaskSpec spec;
  spec.set_function("echo");
  v1::SubmitResponse response;
  const grpc::Status status = Submit(spec, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(DetailOf<google::rpc::ErrorInfo>(status)->reason(), "QUEUE_FULL");
  EXPECT_EQ(DetailOf<google::rpc::QuotaFailure>(status)->violations(0).subject(), "default");
  EXPECT_TRUE(DetailOf<google::rpc::RetryInfo>(status)->has_retry_delay());
}

TEST_F(UnaryCallsTest, UnknownTaskIsNotFoundWithItsId) {
  v1::GetTaskRequest request;
  request.set_task_id(99);
  v1::Task task;
  const grpc::Status status = stub_->Get(Context().get(), request, &task);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(DetailOf<google::rpc::ResourceInfo>(status)->resource_type(), "task");
  EXPECT_EQ(DetailOf<google::rpc::ResourceInfo>(status)->resource_name(), "99");
}

TEST_F(UnaryCallsTest, ListGoesOnFromItsPageToken) {
  const engine::TaskId first = SubmitEcho();
  const engine::TaskId second = SubmitEcho();
  v1::ListTasksRequest request;
  request.set_page_size(1);
  v1::ListTasksResponse page;
  ASSERT_TRUE(stub_->List(Context().get(), request, &page).ok());
  ASSERT_EQ(page.tasks_size(), 1);
  EXPECT_EQ(page.tasks(0).task_id(), first);
  request.set_page_token(page.next_page_token());
  ASSERT_TRUE(stub_->List(Context().get(), request, &page).ok());
  ASSERT_EQ(page.tasks_size(), 1);
  EXPECT_EQ(page.tasks(0).task_id(), second);
  EXPECT_EQ(page.next_page_token(), "");

  request.set_page_token("next please");
  EXPECT_EQ(stub_->List(Context().get(), request, &page).error_message(),
            "page_token: is none that this service gave out");
}

TEST_F(UnaryCallsTest, ListLeavesValuesOutAndTellsTheirSize) {
  const engine::TaskId id = SubmitEcho();
  engine_.RunOnThread([&] { engine_.Finish(id, scheduler::TaskState::kSucceeded, "a value"); });
  v1::ListTasksResponse page;
  ASSERT_TRUE(stub_->List(Context().get(), {}, &page).ok());
  ASSERT_EQ(page.tasks_size(), 1);
  EXPECT_EQ(page.tasks(0).result().state(), v1::TASK_STATE_SUCCEEDED);
  EXPECT_EQ(page.tasks(0).result().value(), "");
  EXPECT_EQ(page.tasks(0).result().value_bytes(), 7u);
}

TEST_F(UnaryCallsTest, APageOfListEndsBeforeItIsTooLargeForAMessage) {
  v1::TaskSpec spec;
  spec.mutable_command()->add_argv("echo");
  spec.mutable_command()->add_argv(std::string(900'000, 'x'));
  v1::SubmitResponse response;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Submit(spec, &response).ok());
  std::vector<int> pages;
  v1::ListTasksRequest request;
  do {
    v1::ListTasksResponse page;
    const grpc::Status status = stub_->List(Context().get(), request, &page);
    ASSERT_TRUE(status.ok()) << status.error_message();
    pages.push_back(page.tasks_size());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  EXPECT_THAT(pages, ElementsAre(2, 2, 1));
}

TEST_F(UnaryCallsTest, WaitAnswersWhenTheTaskEnds) {
  const engine::TaskId id = SubmitEcho();
  v1::Task task;
  grpc::Status status;
  std::thread waiter([&] {
    v1::WaitTaskRequest request;
    request.set_task_id(id);
    status = stub_->Wait(Context().get(), request, &task);
  });
  bool waiting = false;
  while (!waiting) {
    engine_.RunOnThread(
        [&] { waiting = absl::c_linear_search(engine_.calls, absl::StrCat("Wait ", id)); });
  }
  engine_.RunOnThread([&] { engine_.Finish(id, scheduler::TaskState::kSucceeded, "done"); });
  waiter.join();
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(task.state(), v1::TASK_STATE_SUCCEEDED);
  EXPECT_EQ(task.result().value(), "done");
}

TEST_F(UnaryCallsTest, WaitAnswersWithThePresentStateAfterItsTimeout) {
  v1::WaitTaskRequest request;
  request.set_task_id(SubmitEcho());
  request.mutable_timeout()->set_nanos(20'000'000);
  v1::Task task;
  const grpc::Status status = stub_->Wait(Context().get(), request, &task);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(task.state(), v1::TASK_STATE_QUEUED);
  engine_.RunOnThread([&] { EXPECT_THAT(engine_.calls, Contains("CancelWait")); });
}

TEST_F(UnaryCallsTest, ClientThatStopsWaitingLeavesNoWaitBehind) {
  v1::WaitTaskRequest request;
  request.set_task_id(SubmitEcho());
  v1::Task task;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  EXPECT_EQ(stub_->Wait(&context, request, &task).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  bool cancelled = false;
  while (!cancelled) {
    engine_.RunOnThread([&] { cancelled = absl::c_linear_search(engine_.calls, "CancelWait"); });
  }
}

TEST_F(UnaryCallsTest, ClientThatStopsWaitingForAPoolLeavesNoOrderBehind) {
  const auto pools = v1::PoolService::NewStub(Connect());
  v1::DrainPoolRequest request;
  request.set_name("default");
  v1::Pool pool;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  EXPECT_EQ(pools->Drain(&context, request, &pool).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  const std::string cancelled = absl::StrCat("CancelOrder ", FakeEngine::kDrainOrder);
  bool seen = false;
  while (!seen) {
    engine_.RunOnThread([&] { seen = absl::c_linear_search(engine_.calls, cancelled); });
  }
}

TEST_F(UnaryCallsTest, CancelAnswersWithTheTaskAsItIsAfterwards) {
  v1::CancelTaskRequest request;
  request.set_task_id(SubmitEcho());
  request.set_force(true);
  v1::CancelTaskResponse response;
  ASSERT_TRUE(stub_->Cancel(Context().get(), request, &response).ok());
  EXPECT_EQ(response.task().state(), v1::TASK_STATE_CANCELLED);
  engine_.RunOnThread([&] {
    EXPECT_THAT(engine_.calls, Contains(absl::StrCat("Cancel ", request.task_id(), " force")));
  });
}

TEST_F(UnaryCallsTest, DeleteWantsExactlyOneOfTaskAndFilter) {
  v1::DeleteTaskResponse response;
  EXPECT_EQ(stub_->Delete(Context().get(), {}, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  v1::DeleteTaskRequest request;
  request.set_task_id(SubmitEcho());
  ASSERT_TRUE(stub_->Delete(Context().get(), request, &response).ok());
  EXPECT_EQ(response.deleted(), 1);
}

TEST_F(UnaryCallsTest, ScaleRefusesAbsurdSizes) {
  const auto pools = v1::PoolService::NewStub(Connect());
  v1::ScalePoolRequest request;
  request.set_name("default");
  v1::Pool pool;
  EXPECT_EQ(pools->Scale(Context().get(), request, &pool).error_message(),
            "size: 0 is not between 1 and 4096");
  request.set_size(3);
  ASSERT_TRUE(pools->Scale(Context().get(), request, &pool).ok());
  EXPECT_EQ(pool.spec().size(), 3);
}

TEST_F(UnaryCallsTest, OnlyPrivilegedCallersShutTheDaemonDown) {
  const auto stranger = v1::DaemonService::NewStub(Connect({.uid = 4711, .privileged = false}));
  v1::ShutdownResponse response;
  EXPECT_EQ(stranger->Shutdown(Context().get(), {}, &response).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_FALSE(control_.requested);

  const auto owner = v1::DaemonService::NewStub(Connect());
  v1::ShutdownRequest request;
  request.mutable_drain_timeout()->set_seconds(3);
  ASSERT_TRUE(owner->Shutdown(Context().get(), request, &response).ok());
  engine_.RunOnThread([&] {
    EXPECT_TRUE(control_.requested);
    EXPECT_EQ(control_.drain_timeout, absl::Seconds(3));
  });
}

TEST_F(UnaryCallsTest, StatusTellsVersionAndAddresses) {
  const auto daemon = v1::DaemonService::NewStub(Connect());
  v1::DaemonStatus status;
  ASSERT_TRUE(daemon->GetStatus(Context().get(), {}, &status).ok());
  EXPECT_EQ(status.version(), "1.2.3");
  EXPECT_EQ(status.addresses(0), "unix:/test.sock");
  EXPECT_EQ(status.pid(), getpid());
  EXPECT_GT(status.rss_bytes(), 0);
}

}  // namespace
}  // namespace prefork::rpc
