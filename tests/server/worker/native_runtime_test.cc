#include "server/worker/native_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/server/worker/fake_task_context.h"
#include "worker_programs.h"

namespace prefork::worker {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace worker_testing;  // NOLINT: the paths of the test modules

class NativeRuntimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::unique_ptr<NativeRuntime>> loaded = NativeRuntime::Load({kTestModule});
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    runtime_ = *std::move(loaded);
  }

  TaskEnd Run(std::string_view function, std::string_view payload = {},
              std::string_view content_type = {}) {
    TaskEnd end;
    TaskView task;
    task.id = 41;
    task.attempt = 2;
    task.function = function;
    task.payload = payload;
    task.content_type = content_type;
    runtime_->Run(task, context_, end);
    return end;
  }

  std::unique_ptr<NativeRuntime> runtime_;
  FakeTaskContext context_;
};

TEST_F(NativeRuntimeTest, ValueAndContentTypeComeBack) {
  const TaskEnd end = Run("echo", "hello", "text/x-test");
  EXPECT_EQ(end.outcome, shm::TaskOutcome::kSucceeded);
  EXPECT_EQ(end.value, "hello");
  EXPECT_EQ(end.content_type, "text/x-test");
}

TEST_F(NativeRuntimeTest, TheTaskKnowsItsAttempt) { EXPECT_EQ(Run("attempt").value, "2"); }

TEST_F(NativeRuntimeTest, AnErrorIsTheFunctionsOwnText) {
  const TaskEnd end = Run("fail", "no luck");
  EXPECT_EQ(end.outcome, shm::TaskOutcome::kFailed);
  EXPECT_EQ(end.error, "no luck");
}

TEST_F(NativeRuntimeTest, AFailureWithoutReasonSaysSo) {
  EXPECT_EQ(Run("fail", "").error, "the function failed and gave no reason");
}

TEST_F(NativeRuntimeTest, EscapedExceptionsAreErrors) {
  EXPECT_EQ(Run("throw", "bad luck").error, "bad luck");
  EXPECT_EQ(Run("throw_number").error, "an exception that is no std::exception");
}

TEST_F(NativeRuntimeTest, AnUnknownFunctionNamesTheKnownOnes) {
  const TaskEnd end = Run("ehco");
  EXPECT_EQ(end.outcome, shm::TaskOutcome::kFailed);
  EXPECT_THAT(end.error, AllOf(HasSubstr("no function 'ehco' in this pool; it offers noop, echo"),
                               HasSubstr(" more")));
}

TEST_F(NativeRuntimeTest, PartialsAndProgressReachTheWorker) {
  EXPECT_EQ(Run("emit", "2").outcome, shm::TaskOutcome::kSucceeded);
  EXPECT_THAT(context_.partials, ElementsAre("0", "1"));
  ASSERT_EQ(context_.progress.size(), 2u);
  EXPECT_EQ(context_.progress[1].done, 2);
  EXPECT_EQ(context_.progress[1].total, 2);
  EXPECT_EQ(context_.progress[1].text, "emitted");
}

TEST_F(NativeRuntimeTest, ARefusedPartialTellsTheFunctionWhy) {
  context_.room = absl::ResourceExhaustedError("segments are used up");
  EXPECT_EQ(Run("emit", "1").error, "segments are used up");
}

TEST_F(NativeRuntimeTest, AValueCanBeFilledInPlace) {
  const TaskEnd end = Run("allocated_value_bytes", "5");
  EXPECT_EQ(end.outcome, shm::TaskOutcome::kSucceeded);
  EXPECT_TRUE(end.value_allocated);
  EXPECT_EQ(end.content_type, "text/plain");
  EXPECT_EQ(context_.allocated, "abcde");
}

TEST_F(NativeRuntimeTest, ARefusedAllocationTellsTheFunctionWhy) {
  context_.room = absl::ResourceExhaustedError("segments are used up");
  EXPECT_EQ(Run("allocated_value_bytes", "5").error, "segments are used up");
}

TEST_F(NativeRuntimeTest, ACancelledFunctionReportsIt) {
  context_.cancelled = true;
  EXPECT_EQ(Run("wait_cancelled").outcome, shm::TaskOutcome::kCancelled);
}

TEST_F(NativeRuntimeTest, MessagesAreParsedAndSerialised) {
  const TaskEnd end = Run("double", "21");
  EXPECT_EQ(end.value, "42");
  EXPECT_EQ(end.content_type, "application/x-protobuf");
  EXPECT_EQ(Run("double", "-1").error, "negative");
  EXPECT_EQ(Run("double", "x1").error,
            "the payload (2 bytes) is no valid message of type testing.NumberMessage");
}

TEST_F(NativeRuntimeTest, SeveralModulesShareAPoolButNoRegistry) {
  const absl::StatusOr<std::unique_ptr<NativeRuntime>> examples =
      NativeRuntime::Load({kExamplesModule});
  ASSERT_TRUE(examples.ok()) << examples.status();
  EXPECT_THAT((*examples)->functions(),
              ElementsAre(testing::Field(&FunctionInfo::name, "noop"),
                          testing::Field(&FunctionInfo::name, "echo"),
                          testing::Field(&FunctionInfo::name, "fail"),
                          testing::Field(&FunctionInfo::name, "square_sum"),
                          testing::Field(&FunctionInfo::name, "sha256_file"),
                          testing::Field(&FunctionInfo::name, "sleep_ms"),
                          testing::Field(&FunctionInfo::name, "countdown")));
}

struct BadModules {
  const char* what;
  std::vector<std::string> paths;
  std::vector<std::string> message_parts;
};
class BadModuleTest : public ::testing::TestWithParam<BadModules> {};

TEST_P(BadModuleTest, IsRefusedByNameWithTheReason) {
  const absl::StatusOr<std::unique_ptr<NativeRuntime>> loaded =
      NativeRuntime::Load(GetParam().paths);
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(std::string(loaded.status().message()), HasSubstr(GetParam().paths.back()));
  for (const std::string& part : GetParam().message_parts) {
    EXPECT_THAT(std::string(loaded.status().message()), HasSubstr(part));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BadModuleTest,
    ::testing::Values(
        BadModules{"Relative", {"mine.so"}, {"is no absolute path"}},
        BadModules{"Missing", {"/nowhere/mine.so"}, {"cannot load module", "No such file"}},
        BadModules{"NotALibrary", {"/etc/passwd"}, {"cannot load module", "invalid ELF header"}},
        BadModules{"Foreign", {kForeignModule}, {"exports no prefork_module_v1"}},
        BadModules{"Empty", {kEmptyModule}, {"offers no function; register one"}},
        BadModules{"Old", {kOldModule}, {"malformed; rebuild it"}},
        BadModules{"Threads", {kThreadsModule}, {"started a thread"}},
        BadModules{"Twin",
                   {kTestModule, kTwinModule},
                   {"offers the function 'echo', as does", kTestModule}}),
    [](const testing::TestParamInfo<BadModules>& info) { return info.param.what; });

TEST(BadModuleDeathTest, AnInitialiserThatThrowsIsReportedBeforeTheProcessDies) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto report = [](const std::string& why) {
    std::fprintf(stderr, "reported: %s\n", why.c_str());
  };
  // In a thread of its own nobody catches it, as in a worker.
  const auto load = [&] {
    std::thread([&] { (void)NativeRuntime::Load({kThrowsModule}, report); }).join();
  };
  EXPECT_EXIT(load(), ::testing::KilledBySignal(SIGABRT),
              "reported: module .*throws.so failed in a static initialiser: "
              "the model file is missing");
}

class ExamplesTest : public NativeRuntimeTest {
 protected:
  void SetUp() override { runtime_ = *NativeRuntime::Load({kExamplesModule}); }
};

TEST_F(ExamplesTest, SquareSumAddsSquares) {
  const std::vector<double> numbers = {1, 2, 3, 4, 5, 6, 7};
  const TaskEnd end = Run("square_sum", {reinterpret_cast<const char*>(numbers.data()),
                                         numbers.size() * sizeof(double)});
  ASSERT_EQ(end.value.size(), sizeof(double)) << end.error;
  double sum;
  std::memcpy(&sum, end.value.data(), sizeof(sum));
  EXPECT_EQ(sum, 140);
  EXPECT_THAT(Run("square_sum", "123").error, HasSubstr("no whole number of doubles"));
}

TEST_F(ExamplesTest, Sha256OfAnEmptyAndAMissingFile) {
  EXPECT_EQ(Run("sha256_file", "/dev/null").value,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Run("sha256_file", "/nowhere").error,
            "cannot open /nowhere: No such file or directory");
}

TEST_F(ExamplesTest, SleepStopsWhenCancelled) {
  context_.cancelled = true;
  EXPECT_EQ(Run("sleep_ms", "3600000").outcome, shm::TaskOutcome::kCancelled);
  EXPECT_THAT(Run("sleep_ms", "soon").error, HasSubstr("no number of milliseconds"));
}

}  // namespace
}  // namespace prefork::worker
