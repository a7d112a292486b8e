// A real daemon, spoken to over its socket with the generated stubs.
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/os/fd.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "prefork/v1/pool_service.grpc.pb.h"
#include "prefork/v1/task_service.grpc.pb.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/wait_for.h"

namespace prefork::testing {
namespace {

using ::testing::HasSubstr;

constexpr char kCommandPool[] = "[pool.default]\nruntime = \"command\"\nsize = 2\n";

class DaemonTest : public ::testing::Test {
 protected:
  void Start(const DaemonOptions& options = {.config = kCommandPool}) {
    auto daemon = Daemon::Start(options);
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    channel_ = grpc::CreateChannel(daemon_->address(), grpc::InsecureChannelCredentials());
    tasks_ = v1::TaskService::NewStub(channel_);
    pools_ = v1::PoolService::NewStub(channel_);
  }
  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return context;
  }
  uint64_t Submit(const std::vector<std::string>& argv, const std::string& standard_input = "") {
    v1::SubmitRequest request;
    for (const std::string& arg : argv) request.mutable_task()->mutable_command()->add_argv(arg);
    request.mutable_task()->mutable_command()->set_stdin(standard_input);
    v1::SubmitResponse response;
    const grpc::Status status = tasks_->Submit(Context().get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.task_id();
  }
  v1::Task Wait(uint64_t id) {
    v1::WaitTaskRequest request;
    request.set_task_id(id);
    v1::Task task;
    const grpc::Status status = tasks_->Wait(Context().get(), request, &task);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return task;
  }
  v1::TaskState StateOf(uint64_t id) {
    v1::GetTaskRequest request;
    request.set_task_id(id);
    v1::Task task;
    const grpc::Status status = tasks_->Get(Context().get(), request, &task);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return task.state();
  }
  std::string ReadOutput(uint64_t id, v1::OutputStream stream, bool follow) {
    v1::ReadOutputRequest request;
    request.set_task_id(id);
    request.set_stream(stream);
    request.set_follow(follow);
    const auto context = Context();
    const auto reader = tasks_->ReadOutput(context.get(), request);
    std::string output;
    v1::Output piece;
    while (reader->Read(&piece)) output += piece.data();
    EXPECT_TRUE(reader->Finish().ok());
    return output;
  }

  std::unique_ptr<Daemon> daemon_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::TaskService::Stub> tasks_;
  std::unique_ptr<v1::PoolService::Stub> pools_;
};

TEST_F(DaemonTest, ACommandsInputOutputAndExitCodeArriveWhole) {
  Start();
  const std::string input(300'000, 'x');
  const uint64_t id = Submit({"sh", "-c", "wc -c; echo trouble >&2; exit 7"}, input);
  EXPECT_EQ(ReadOutput(id, v1::OUTPUT_STREAM_STDOUT, /*follow=*/true), "300000\n");
  const v1::Task task = Wait(id);
  EXPECT_EQ(task.state(), v1::TASK_STATE_FAILED);
  EXPECT_EQ(task.result().exit_report().exit_code(), 7);
  EXPECT_EQ(task.result().exit_report().stderr_tail(), "trouble\n");
  EXPECT_EQ(task.payload_bytes(), input.size());
  EXPECT_EQ(ReadOutput(id, v1::OUTPUT_STREAM_STDERR, /*follow=*/false), "trouble\n");
}

TEST_F(DaemonTest, TasksDoNotHoldWhatTheDaemonWasStartedWith) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);  // without O_CLOEXEC, as a shell's
  const os::Fd reader(ends[0]), writer(ends[1]);
  const std::string name =
      std::filesystem::read_symlink(absl::StrCat("/proc/self/fd/", writer.get()));
  Start();
  const uint64_t id = Submit({"ls", "-l", "/proc/self/fd"});
  EXPECT_EQ(Wait(id).state(), v1::TASK_STATE_SUCCEEDED);
  EXPECT_THAT(ReadOutput(id, v1::OUTPUT_STREAM_STDOUT, /*follow=*/false),
              ::testing::Not(HasSubstr(name)));
}

TEST_F(DaemonTest, FollowedOutputComesWhileTheTaskRuns) {
  Start();
  const uint64_t slow = Submit({"sh", "-c", "echo now; exec sleep 60"});
  v1::ReadOutputRequest request;
  request.set_task_id(slow);
  request.set_follow(true);
  const auto context = Context();
  const auto reader = tasks_->ReadOutput(context.get(), request);
  v1::Output piece;
  ASSERT_TRUE(reader->Read(&piece));
  EXPECT_EQ(piece.data(), "now\n");
  v1::CancelTaskRequest cancel;
  cancel.set_task_id(slow);
  cancel.set_force(true);
  v1::CancelTaskResponse cancelled;
  ASSERT_TRUE(tasks_->Cancel(Context().get(), cancel, &cancelled).ok());
  EXPECT_EQ(cancelled.task().state(), v1::TASK_STATE_CANCELLED);
  EXPECT_FALSE(reader->Read(&piece));
  EXPECT_TRUE(reader->Finish().ok());
}

TEST_F(DaemonTest, AnUploadIsReadBackFromTheValue) {
  Start({.config = NativePoolConfig("default", 1)});
  std::string payload(3'000'000, '\0');
  for (size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(i * 7);
  v1::SubmitResponse submitted;
  {
    const auto context = Context();
    const auto writer = tasks_->UploadTask(context.get(), &submitted);
    v1::UploadTaskRequest message;
    message.mutable_task()->set_function("echo");
    message.set_payload_bytes(payload.size());
    ASSERT_TRUE(writer->Write(message));
    for (size_t begin = 0; begin < payload.size(); begin += 1'000'000) {
      message.Clear();
      message.set_chunk(payload.substr(begin, 1'000'000));
      ASSERT_TRUE(writer->Write(message));
    }
    writer->WritesDone();
    const grpc::Status status = writer->Finish();
    ASSERT_TRUE(status.ok()) << status.error_message();
  }
  const v1::Task task = Wait(submitted.task_id());
  ASSERT_EQ(task.state(), v1::TASK_STATE_SUCCEEDED) << task.ShortDebugString();
  EXPECT_EQ(task.result().value_bytes(), payload.size());
  EXPECT_EQ(task.result().value(), "");
  v1::ReadValueRequest request;
  request.set_task_id(submitted.task_id());
  const auto context = Context();
  const auto reader = tasks_->ReadValue(context.get(), request);
  std::string value;
  v1::ValueChunk chunk;
  while (reader->Read(&chunk)) value += chunk.data();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_TRUE(value == payload);
}

TEST_F(DaemonTest, TasksOfASessionThatGoesAreCancelledDetachedOnesAreNot) {
  Start();
  const auto context = Context();
  const auto stream = tasks_->Session(context.get());
  v1::SessionRequest request;
  request.mutable_open();
  ASSERT_TRUE(stream->Write(request));
  auto* defaults = request.mutable_submit()->mutable_defaults();
  for (const char* arg : {"sleep", "60"}) defaults->mutable_command()->add_argv(arg);
  request.mutable_submit()->add_items()->set_tag(1);
  request.mutable_submit()->add_items()->set_tag(2);
  request.mutable_submit()->mutable_items(1)->mutable_spec()->set_detached(true);
  ASSERT_TRUE(stream->Write(request));
  std::vector<uint64_t> ids;
  v1::SessionResponse response;
  while (ids.size() < 2 && stream->Read(&response)) {
    for (const v1::TaskAccepted& range : response.events().accepted()) {
      for (uint64_t i = 0; i < range.count(); ++i) ids.push_back(range.first_task_id() + i);
    }
  }
  ASSERT_EQ(ids.size(), 2);
  context->TryCancel();
  stream->Finish();
  EXPECT_EQ(Wait(ids[0]).result().exit_report().cause(), v1::END_CAUSE_CLIENT_GONE);
  EXPECT_LT(StateOf(ids[1]), v1::TASK_STATE_SUCCEEDED);
  v1::CancelTaskRequest cancel;
  cancel.set_task_id(ids[1]);
  cancel.set_force(true);
  v1::CancelTaskResponse cancelled;
  EXPECT_TRUE(tasks_->Cancel(Context().get(), cancel, &cancelled).ok());
}

TEST_F(DaemonTest, GarbageOnTheSocketLeavesItUp) {
  Start();
  for (const std::string& bytes :
       {std::string("\x16\x03\x01 no TLS here"), std::string(1 << 20, '\xee'),
        std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") + std::string(100'000, '\x07')}) {
    const os::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, daemon_->socket().data(), daemon_->socket().size());
    ASSERT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t n = send(fd.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;  // the daemon has had enough
      sent += static_cast<size_t>(n);
    }
  }
  EXPECT_EQ(Wait(Submit({"true"})).state(), v1::TASK_STATE_SUCCEEDED);
  EXPECT_TRUE(daemon_->running());
}

TEST_F(DaemonTest, ShutdownWithFiveHundredOpenStreamsIsInTime) {
  Start();
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>>>
      streams;
  v1::SessionRequest open;
  open.mutable_open();
  v1::SessionResponse opened;
  for (int i = 0; i < 500; ++i) {
    contexts.push_back(Context());
    streams.push_back(tasks_->Session(contexts.back().get()));
    ASSERT_TRUE(streams.back()->Write(open));
    ASSERT_TRUE(streams.back()->Read(&opened));
  }
  const absl::StatusOr<int> status = daemon_->Stop(absl::Seconds(20));
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(*status, 0);
  for (auto& stream : streams) {
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  }
}

TEST_F(DaemonTest, ASecondSignalStopsWhatTheFirstLetFinish) {
  Start();
  const uint64_t id = Submit({"sleep", "600"});
  ASSERT_TRUE(WaitFor([&] { return StateOf(id) == v1::TASK_STATE_RUNNING; }));
  kill(daemon_->pid(), SIGTERM);
  ASSERT_TRUE(daemon_->WaitForNotification("STOPPING=1"));
  v1::SubmitRequest request;
  request.mutable_task()->mutable_command()->add_argv("true");
  v1::SubmitResponse response;
  EXPECT_EQ(tasks_->Submit(Context().get(), request, &response).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(daemon_->running());
  kill(daemon_->pid(), SIGTERM);
  const absl::StatusOr<int> status = daemon_->WaitForExit(absl::Seconds(20));
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(*status, 0);
}

TEST_F(DaemonTest, ShutdownByAClientIsAnOrderlyEnd) {
  Start();
  const auto service = v1::DaemonService::NewStub(channel_);
  v1::ShutdownRequest request;
  request.set_now(true);
  v1::ShutdownResponse response;
  ASSERT_TRUE(service->Shutdown(Context().get(), request, &response).ok());
  const absl::StatusOr<int> status = daemon_->WaitForExit(absl::Seconds(20));
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(*status, 0);
}

TEST_F(DaemonTest, HangupTakesNewPoolsAndReportsWhatNeedsARestart) {
  Start();
  std::ofstream(daemon_->directory() + "/config.toml")
      << kCommandPool << "[pool.extra]\nruntime = \"command\"\nsize = 1\n[limits]\nevents = 5000\n";
  kill(daemon_->pid(), SIGHUP);
  v1::GetPoolRequest request;
  request.set_name("extra");
  v1::Pool pool;
  EXPECT_TRUE(WaitFor([&] {
    return pools_->Get(Context().get(), request, &pool).ok() &&
           pool.state() == v1::POOL_STATE_READY;
  }));
  EXPECT_TRUE(WaitFor([&] {
    return absl::StrContains(daemon_->Log(),
                             "limits.events has changed; it takes effect after a restart");
  }));

  std::ofstream(daemon_->directory() + "/config.toml") << "[pool.extra]\nsiez = 1\n";
  kill(daemon_->pid(), SIGHUP);
  EXPECT_TRUE(
      WaitFor([&] { return absl::StrContains(daemon_->Log(), "the configuration is unchanged"); }));
  EXPECT_TRUE(pools_->Get(Context().get(), request, &pool).ok());
}

TEST_F(DaemonTest, AnIdlePrivateDaemonEndsByItself) {
  Start({.config = kCommandPool, .flags = {"--idle-timeout", "1s"}});
  EXPECT_EQ(Wait(Submit({"true"})).state(), v1::TASK_STATE_SUCCEEDED);
  const absl::StatusOr<int> status = daemon_->WaitForExit(absl::Seconds(30));
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(*status, 0);
  EXPECT_THAT(daemon_->Log(), HasSubstr("idle for 1s"));
}

TEST_F(DaemonTest, ASecondDaemonOnTheSocketEndsWithOneClearLine) {
  Start();
  const auto second = Daemon::Start({.config = kCommandPool,
                                     .flags = {"--socket", daemon_->socket()},
                                     .wait_until_ready = false});
  ASSERT_TRUE(second.ok()) << second.status();
  const absl::StatusOr<int> status = (*second)->WaitForExit(absl::Seconds(20));
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(WEXITSTATUS(*status), 1);
  EXPECT_EQ((*second)->Log(),
            absl::StrCat("<3>another preforkd (pid ", daemon_->pid(), ") answers on ",
                         daemon_->socket(), "; stop it, or choose another path with --socket\n"));
  EXPECT_EQ(Wait(Submit({"true"})).state(), v1::TASK_STATE_SUCCEEDED);
}

}  // namespace
}  // namespace prefork::testing
