// Bad input of every kind: one clear answer, nothing lost, and the daemon stays up.
#include <sys/wait.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fault/fault_bed.h"

namespace prefork::fault {
namespace {

using ::testing::HasSubstr;

struct BadTask {
  const char* what;
  std::function<void(v1::TaskSpec&)> spoil;
  absl::StatusCode code;
  const char* words;
};

TEST(BadInputTest, BadTasksAreRefusedInWords) {
  FaultBed bed({.config = "[limits]\nmax_payload = \"64KiB\"\n" + MisbehavingPool("p", 1) +
                          CommandPool("c", 1)});
  const std::vector<BadTask> cases = {
      {"unknown pool", [](v1::TaskSpec& spec) { spec.set_pool("q"); }, absl::StatusCode::kNotFound,
       "\"q\""},
      {"unknown function", [](v1::TaskSpec& spec) { spec.set_function("ecko"); },
       absl::StatusCode::kNotFound, "did you mean \"echo\"?"},
      {"function for a command pool", [](v1::TaskSpec& spec) { spec.set_pool("c"); },
       absl::StatusCode::kInvalidArgument, "runtime command"},
      {"command for a native pool",
       [](v1::TaskSpec& spec) { spec.mutable_command()->add_argv("true"); },
       absl::StatusCode::kInvalidArgument, "runtime native"},
      {"empty command",
       [](v1::TaskSpec& spec) {
         spec.set_pool("c");
         spec.mutable_command();
       },
       absl::StatusCode::kInvalidArgument, "argv"},
      {"nothing to run", [](v1::TaskSpec& spec) { spec.clear_function(); },
       absl::StatusCode::kInvalidArgument, "function"},
      {"oversized payload",
       [](v1::TaskSpec& spec) { spec.set_payload(std::string(size_t{65} * 1024, 'x')); },
       absl::StatusCode::kInvalidArgument, "the daemon's limit of 65536"},
      {"priority", [](v1::TaskSpec& spec) { spec.set_priority(1'000'000); },
       absl::StatusCode::kInvalidArgument, "priority"},
      {"negative timeout", [](v1::TaskSpec& spec) { spec.mutable_timeout()->set_seconds(-5); },
       absl::StatusCode::kInvalidArgument, "timeout"},
      {"nonsense timeout",
       [](v1::TaskSpec& spec) { spec.mutable_timeout()->set_nanos(2'000'000'000); },
       absl::StatusCode::kInvalidArgument, "timeout"},
      {"negative delay", [](v1::TaskSpec& spec) { spec.mutable_delay()->set_seconds(-1); },
       absl::StatusCode::kInvalidArgument, "delay"},
      {"attempts",
       [](v1::TaskSpec& spec) { spec.mutable_retry()->set_max_attempts(4'000'000'000); },
       absl::StatusCode::kInvalidArgument, "max_attempts"},
      {"shrinking backoff",
       [](v1::TaskSpec& spec) {
         spec.mutable_retry()->set_max_attempts(2);
         spec.mutable_retry()->set_multiplier(-1);
       },
       absl::StatusCode::kInvalidArgument, "multiplier"},
      {"unknown predecessor", [](v1::TaskSpec& spec) { spec.add_after(4711); },
       absl::StatusCode::kNotFound, "4711"},
      {"long request ID", [](v1::TaskSpec& spec) { spec.set_request_id(std::string(1000, 'x')); },
       absl::StatusCode::kInvalidArgument, "request_id"},
      {"long content type",
       [](v1::TaskSpec& spec) { spec.set_content_type(std::string(1000, 'x')); },
       absl::StatusCode::kInvalidArgument, "content_type"},
      {"too many labels",
       [](v1::TaskSpec& spec) {
         for (int i = 0; i < 100; ++i) (*spec.mutable_labels())[absl::StrCat("k", i)] = "v";
       },
       absl::StatusCode::kInvalidArgument, "labels"},
      {"NUL in an argument",
       [](v1::TaskSpec& spec) {
         spec.set_pool("c");
         spec.mutable_command()->add_argv(std::string("a\0b", 3));
       },
       absl::StatusCode::kInvalidArgument, "NUL"},
  };
  for (const BadTask& each : cases) {
    v1::TaskSpec spec;
    spec.set_pool("p");
    spec.set_function("echo");
    each.spoil(spec);
    const absl::StatusOr<v1::SubmitResponse> answer = bed.api().Submit(spec);
    EXPECT_EQ(answer.status().code(), each.code) << each.what << ": " << answer.status();
    const std::string message(answer.status().message());
    EXPECT_THAT(message, HasSubstr(each.words)) << each.what;
    EXPECT_THAT(message, ::testing::Not(HasSubstr("\n"))) << each.what;
  }
  bed.ExpectWorks("p");
  EXPECT_EQ(bed.Pool("p").tasks_finished(), 1u);
}

TEST(BadInputTest, AbsurdTimesAreTakenForVeryLong) {
  FaultBed bed({.config = MisbehavingPool("p", 1)});
  v1::TaskSpec spec;
  spec.set_pool("p");
  spec.set_function("echo");
  spec.mutable_timeout()->set_seconds(315'576'000'000);  // the longest Duration
  spec.mutable_grace()->set_seconds(315'576'000'000);
  spec.mutable_queue_timeout()->set_seconds(315'576'000'000);
  spec.mutable_result_ttl()->set_seconds(315'576'000'000);
  const absl::StatusOr<v1::SubmitResponse> now = bed.api().Submit(spec);
  ASSERT_TRUE(now.ok()) << now.status();
  const absl::StatusOr<v1::Task> ended = bed.api().WaitTask(now->task_id(), kPatience);
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_EQ(ended->state(), v1::TASK_STATE_SUCCEEDED);
  spec.mutable_delay()->set_seconds(315'576'000'000);
  const absl::StatusOr<v1::SubmitResponse> later = bed.api().Submit(spec);
  ASSERT_TRUE(later.ok()) << later.status();
  const absl::StatusOr<v1::Task> cancelled = bed.api().CancelTask(later->task_id(), false);
  ASSERT_TRUE(cancelled.ok()) << cancelled.status();
  EXPECT_EQ(cancelled->state(), v1::TASK_STATE_CANCELLED);
}

TEST(BadInputTest, ARequestIdIsForOneBodyOnly) {
  FaultBed bed({.config = MisbehavingPool("p", 1)});
  v1::TaskSpec spec;
  spec.set_pool("p");
  spec.set_function("echo");
  spec.set_payload("one");
  spec.set_request_id("the-id");
  const absl::StatusOr<v1::SubmitResponse> first = bed.api().Submit(spec);
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::StatusOr<v1::SubmitResponse> again = bed.api().Submit(spec);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->task_id(), first->task_id());
  EXPECT_TRUE(again->existing());
  spec.set_payload("two");
  const absl::StatusOr<v1::SubmitResponse> other = bed.api().Submit(spec);
  EXPECT_TRUE(absl::IsAlreadyExists(other.status())) << other.status();
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("the-id"));
}

TEST(BadInputTest, BadPoolsAreRefusedInWords) {
  FaultBed bed({.config = MisbehavingPool("p", 1)});
  const auto refused = [&bed](const std::string& words,
                              const std::function<void(v1::PoolSpec&)>& spoil) {
    v1::PoolSpec spec;
    spec.set_name("new");
    spec.set_runtime(v1::RUNTIME_COMMAND);
    spec.set_size(1);
    spoil(spec);
    const absl::StatusOr<v1::Pool> pool = bed.api().CreatePool(spec);
    EXPECT_FALSE(pool.ok()) << words;
    EXPECT_THAT(std::string(pool.status().message()), HasSubstr(words));
  };
  refused("name", [](v1::PoolSpec& spec) { spec.set_name("No Such Name!"); });
  refused("name", [](v1::PoolSpec& spec) { spec.clear_name(); });
  refused("size", [](v1::PoolSpec& spec) { spec.set_size(4'000'000'000); });
  refused("start_timeout",
          [](v1::PoolSpec& spec) { spec.mutable_start_timeout()->set_seconds(-1); });
  refused("p", [](v1::PoolSpec& spec) { spec.set_name("p"); });
  EXPECT_TRUE(absl::IsNotFound(bed.api().GetPool("nowhere").status()));
  EXPECT_TRUE(absl::IsNotFound(bed.api().DeletePool("nowhere", true)));
  EXPECT_TRUE(absl::IsNotFound(bed.api().GetTask(4711).status()));
  EXPECT_TRUE(absl::IsNotFound(bed.api().CancelTask(4711, false).status()));
  bed.ExpectWorks("p");
}

struct BadStart {
  std::string config;
  std::vector<std::string> flags;
  int code;
  std::string words;
};

TEST(BadInputTest, ADaemonThatCannotStartSaysWhyInOneLine) {
  const std::vector<BadStart> cases = {
      {"", {"--no-such-flag"}, 2, "--no-such-flag"},
      {"", {"--config", "/nonexistent/config.toml"}, 2, "--config"},  // given twice
      {"", {"--set", "daemon.sockets=/tmp/x"}, 2, "socket"},
      {"", {"--set", "pool.p.size=minus two"}, 2, "size"},
      {"[pool.p]\nsize = \"many\"\n", {}, 2, "config.toml:2"},
      {"[pool.p]\nsizes = 3\n", {}, 2, "size"},
      {"[pool.p\n", {}, 2, "config.toml:1"},
      {"[pool.p]\nsize = 3\n\xff\xfe\n", {}, 2, "config.toml"},
      {"", {"--worker-program", "/nonexistent/worker"}, 2, "/nonexistent/worker"},
      {"", {"--socket", "/nonexistent\x01/" + std::string(200, 'x')}, 1, "socket"},
  };
  for (const BadStart& each : cases) {
    auto daemon = testing::Daemon::Start(
        {.config = each.config, .flags = each.flags, .wait_until_ready = false});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    const absl::StatusOr<int> status = (*daemon)->WaitForExit();
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_TRUE(WIFEXITED(*status)) << *status;
    EXPECT_EQ(WEXITSTATUS(*status), each.code) << each.words << (*daemon)->Log();
    EXPECT_THAT((*daemon)->Log(), HasSubstr(each.words));
    const std::vector<std::string> lines =
        absl::StrSplit((*daemon)->Log(), '\n', absl::SkipEmpty());
    EXPECT_LE(lines.size(), 2u) << (*daemon)->Log();
  }
}

}  // namespace
}  // namespace prefork::fault
