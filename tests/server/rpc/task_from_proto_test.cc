#include "server/rpc/task_from_proto.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/message_differencer.h"
#include "server/rpc/task_to_proto.h"

namespace prefork::rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::TaskSpec Spec(const std::string& text) {
  v1::TaskSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
  return spec;
}

TEST(ReadTaskOptionsTest, UnsetFieldsHaveTheDocumentedDefaults) {
  const auto options = ReadTaskOptions(Spec("function: 'f'"), "");
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ((*options)->pool, "default");
  EXPECT_EQ((*options)->priority, 0);
  EXPECT_EQ((*options)->retry.max_attempts, 1);
  EXPECT_EQ((*options)->timeout, std::nullopt);
  EXPECT_EQ((*options)->not_before, absl::InfinitePast());
  EXPECT_FALSE((*options)->command.has_value());
}

TEST(ReadTaskOptionsTest, RetryWithoutCausesIsForCrashes) {
  const auto options = ReadTaskOptions(Spec("function: 'f' retry { max_attempts: 3 }"), "");
  ASSERT_TRUE(options.ok());
  EXPECT_EQ((*options)->retry.on, scheduler::kRetryOnCrash);
  EXPECT_EQ((*options)->retry.backoff_ns, 1'000'000'000);
  EXPECT_EQ((*options)->retry.backoff_multiplier, 2.0);
}

TEST(ReadTaskOptionsTest, CommandIsReadWhole) {
  const auto options = ReadTaskOptions(
      Spec("command { argv: 'ls' argv: '-l' env { key: 'A' value: 'b' } cwd: '/tmp' "
           "limits { resource: RESOURCE_OPEN_FILES value: 10 } }"),
      "");
  ASSERT_TRUE(options.ok()) << options.status();
  const engine::CommandSpec& command = *(*options)->command;
  EXPECT_THAT(command.argv, ElementsAre("ls", "-l"));
  EXPECT_THAT(command.env, ElementsAre(std::make_pair("A", "b")));
  EXPECT_EQ(command.cwd, "/tmp");
  EXPECT_THAT(command.limits, ElementsAre(std::make_pair(RLIMIT_NOFILE, 10)));
}

TEST(ReadTaskOptionsTest, TheSameEnvironmentIsTheSameCommandWhateverItsOrder) {
  v1::TaskSpec spec = Spec("command { argv: 'env' }");
  for (int i = 0; i < 100; ++i) {
    (*spec.mutable_command()->mutable_env())["V" + std::to_string(i)] = "x";
  }
  const auto options = ReadTaskOptions(spec, "");
  ASSERT_TRUE(options.ok()) << options.status();
  const auto& env = (*options)->command->env;
  EXPECT_EQ(env.size(), 100u);
  EXPECT_TRUE(std::is_sorted(env.begin(), env.end()));
}

TEST(ReadTaskOptionsTest, EachBadFieldIsNamedInWords) {
  const struct {
    const char* spec;
    const char* message;
  } kCases[] = {
      {"", "task.function: neither function nor command is set; say what to run"},
      {"function: ''", "task.function: is empty"},
      {"function: 'f' priority: -1001", "task.priority: -1001 is not between -1000 and 1000"},
      {"function: 'f' timeout { seconds: -1 }", "task.timeout: -1s is negative"},
      {"function: 'f' timeout {}",
       "task.timeout: 0 is not a time span to wait for; leave the field out for none"},
      {"function: 'f' grace { seconds: 1 nanos: -1 }",
       "task.grace: {seconds: 1, nanos: -1} is not a valid duration"},
      {"function: 'f' delay { seconds: 400000000000 }",
       "task.delay: {seconds: 400000000000, nanos: 0} is not a valid duration"},
      {"function: 'f' not_before { nanos: -1 }",
       "task.not_before: {seconds: 0, nanos: -1} is not a valid time"},
      {"function: 'f' delay {} not_before {}",
       "task.not_before: can't be combined with delay; leave one of them out"},
      {"function: 'f' retry { max_attempts: 1001 }",
       "task.retry.max_attempts: 1001 is more than 1000"},
      {"function: 'f' retry { multiplier: 0.5 }", "task.retry.multiplier: 0.5 is not 1 or more"},
      {"function: 'f' retry { multiplier: nan }", "task.retry.multiplier: nan is not 1 or more"},
      {"function: 'f' retry { on: CAUSE_UNSPECIFIED }", "task.retry.on[0]: 0 is no known cause"},
      {"command {}",
       "task.command.argv: names no program; the first element is the program to run"},
      {"command { argv: 'a' argv: 'b\\000c' }", "task.command.argv[1]: contains a NUL byte"},
      {"command { argv: 'a' env { key: 'A=' } }",
       "task.command.env: 'A=' can't name an environment variable: it is empty or has an equals "
       "sign"},
      {"command { argv: 'a' limits { value: 1 } }",
       "task.command.limits[0].resource: 0 is no known resource"},
      {"function: 'f' labels { key: '' value: 'x' }", "task.labels: has a pair with an empty name"},
  };
  for (const auto& test : kCases) {
    const auto options = ReadTaskOptions(Spec(test.spec), "task.");
    EXPECT_EQ(options.status().code(), absl::StatusCode::kInvalidArgument) << test.spec;
    EXPECT_EQ(options.status().message(), test.message);
  }
}

TEST(ReadTaskOptionsTest, TooLongOrTooManyIsRefused) {
  v1::TaskSpec spec = Spec("function: 'f'");
  spec.set_content_type(std::string(256, 'x'));
  EXPECT_EQ(ReadTaskOptions(spec, "").status().message(),
            "content_type: 256 bytes are more than 255");
  spec = Spec("function: 'f'");
  for (int i = 0; i < 65; ++i) (*spec.mutable_labels())[std::to_string(i)] = "x";
  EXPECT_EQ(ReadTaskOptions(spec, "").status().message(), "labels: 65 pairs are more than 64");
  EXPECT_EQ(CheckRequestId(std::string(256, 'x'), "task.").message(),
            "task.request_id: 256 bytes are more than 255");
}

TEST(ReadTaskOptionsTest, WhatIsReadCanBeShownAgain) {
  const v1::TaskSpec spec = Spec(
      "pool: 'p' function: 'f' content_type: 'text/plain' priority: 7 timeout { seconds: 3 } "
      "grace { nanos: 500000000 } queue_timeout { seconds: 9 } after: 4 after: 5 "
      "retry { max_attempts: 3 on: CAUSE_TIMEOUT backoff { seconds: 2 } multiplier: 3 "
      "max_backoff { seconds: 20 } } labels { key: 'a' value: 'b' } result_ttl { seconds: 60 } "
      "dedicated: true detached: true");
  const auto options = ReadTaskOptions(spec, "");
  ASSERT_TRUE(options.ok()) << options.status();
  v1::TaskSpec shown;
  ToProto(**options, &shown);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(spec, shown))
      << shown.DebugString();
}

TEST(MergeTaskSpecsTest, OwnFieldsReplaceAndTheRestIsTaken) {
  const v1::TaskSpec merged =
      MergeTaskSpecs(Spec("pool: 'p' function: 'f' priority: 1 timeout { seconds: 5 nanos: 7 }"),
                     Spec("priority: 2 timeout { seconds: 9 }"));
  EXPECT_EQ(merged.pool(), "p");
  EXPECT_EQ(merged.function(), "f");
  EXPECT_EQ(merged.priority(), 2);
  EXPECT_EQ(merged.timeout().seconds(), 9);
  EXPECT_EQ(merged.timeout().nanos(), 0);
}

TEST(MergeTaskSpecsTest, MapsListsAndMessagesReplaceAsAWhole) {
  const v1::TaskSpec merged = MergeTaskSpecs(
      Spec("command { argv: 'a' argv: 'b' } labels { key: 'x' value: '1' } after: 1 after: 2 "
           "retry { max_attempts: 5 on: CAUSE_TIMEOUT }"),
      Spec("command { argv: 'c' } labels { key: 'y' value: '2' } after: 3 retry { max_attempts: 2 "
           "}"));
  EXPECT_THAT(merged.command().argv(), ElementsAre("c"));
  EXPECT_EQ(merged.labels_size(), 1);
  EXPECT_THAT(merged.after(), ElementsAre(3));
  EXPECT_EQ(merged.retry().on_size(), 0);
}

TEST(MergeTaskSpecsTest, OwnTimeOfStartReplacesTheOtherKind) {
  const v1::TaskSpec merged =
      MergeTaskSpecs(Spec("function: 'f' delay { seconds: 5 }"), Spec("not_before { seconds: 9 }"));
  EXPECT_FALSE(merged.has_delay());
  EXPECT_TRUE(ReadTaskOptions(merged, "").ok());
}

TEST(ReadTaskFilterTest, UnknownStateIsNamed) {
  v1::TaskFilter filter;
  filter.add_states(v1::TASK_STATE_RUNNING);
  filter.add_states(static_cast<v1::TaskState>(77));
  EXPECT_EQ(ReadTaskFilter(filter).status().message(), "filter.states[1]: 77 is no task state");
}

TEST(PayloadOfTest, PayloadComesBeforeStdin) {
  EXPECT_EQ(PayloadOf(Spec("command { argv: 'cat' stdin: 'in' }")), "in");
  EXPECT_EQ(PayloadOf(Spec("command { argv: 'cat' stdin: 'in' } payload: 'p'")), "p");
  EXPECT_EQ(PayloadOf(Spec("function: 'f'")), "");
}

}  // namespace
}  // namespace prefork::rpc
