// The program `prefork` against a real daemon, as a shell would use it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/strip.h"
#include "tests/integration/cli_run.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/wait_for.h"

namespace prefork::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class CliTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto daemon = Daemon::Start({.config = "[pool.default]\nruntime = \"command\"\nsize = 2\n" +
                                           NativePoolConfig("native", 2)});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = daemon->release();
  }
  static void TearDownTestSuite() {
    delete daemon_;
    daemon_ = nullptr;
  }

  static std::unique_ptr<CliRun> Begin(std::vector<std::string> arguments,
                                       const std::string& input = "") {
    arguments.insert(arguments.begin(), CliProgram());
    return std::make_unique<CliRun>(
        arguments, input,
        std::map<std::string, std::string>{{"PREFORK_ADDRESS", daemon_->address()}});
  }
  static CliRun::Result Run(std::vector<std::string> arguments, const std::string& input = "") {
    return Begin(std::move(arguments), input)->Finish();
  }
  // Submits a command and answers with its full ID.
  static std::string Submit(std::vector<std::string> command) {
    command.insert(command.begin(), {"submit", "-q", "--"});
    const CliRun::Result result = Run(std::move(command));
    EXPECT_EQ(result.code, 0) << result.err;
    return std::string(absl::StripSuffix(result.out, "\n"));
  }

  static Daemon* daemon_;
};
Daemon* CliTest::daemon_ = nullptr;

TEST_F(CliTest, RunGivesOutputAndExitCode) {
  const CliRun::Result result = Run({"run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
}

TEST_F(CliTest, RunNeedsNoDoubleDashAndKeepsTheDirectory) {
  const CliRun::Result result = Run({"run", "pwd"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, std::filesystem::current_path().string() + "\n");
}

TEST_F(CliTest, TasksMayWaitForTasksOfTheirOwnInAFullPool) {
  std::vector<std::string> command = {"echo", "deep"};
  for (int i = 0; i < 5; ++i) {
    command.insert(command.begin(), {CliProgram(), "--address", daemon_->address(), "run", "--"});
  }
  command.erase(command.begin());
  const CliRun::Result result = Run(std::move(command));
  EXPECT_EQ(result.out, "deep\n") << result.err;
}

TEST_F(CliTest, RunEndsWith128PlusTheSignal) {
  const CliRun::Result result = Run({"run", "--", "sh", "-c", "kill -TERM $$"});
  EXPECT_EQ(result.code, 143);
  EXPECT_THAT(result.err, HasSubstr("SIGTERM"));
}

TEST_F(CliTest, RunPassesStdinAndEnvironment) {
  EXPECT_EQ(Run({"run", "-i", "--", "tr", "a-z", "A-Z"}, "hello").out, "HELLO");
  EXPECT_EQ(Run({"run", "-e", "WORD=x y", "--", "sh", "-c", "echo \"$WORD\""}).out, "x y\n");
}

TEST_F(CliTest, InterruptingRunCancelsTheTask) {
  auto run = Begin({"run", "--", "sh", "-c", "echo ready; exec sleep 600"});
  ASSERT_TRUE(WaitFor([&] { return run->Out() == "ready\n"; })) << run->Err();
  run->Signal(SIGINT);
  const CliRun::Result result = run->Finish();
  EXPECT_NE(result.code, 0);
  EXPECT_NE(result.code, -1);
  EXPECT_THAT(Run({"list", "-n", "1"}).out, HasSubstr("cancelled"));
}

TEST_F(CliTest, SubmitPrintsTheIdAndWaitEndsWithTheTasksCode) {
  const std::string id = Submit({"sh", "-c", "echo kept; exit 3"});
  EXPECT_GE(id.size(), 10U) << id;
  EXPECT_EQ(Run({"wait", id}).code, 3);
  EXPECT_EQ(Run({"logs", id}).out, "kept\n");
  EXPECT_EQ(Run({"submit", "--wait", "--", "sh", "-c", "exit 4"}).code, 4);
  const CliRun::Result followed = Run({"submit", "--follow", "--", "sh", "-c", "echo a; exit 5"});
  EXPECT_EQ(followed.code, 5);
  EXPECT_EQ(followed.out, "a\n");
}

TEST_F(CliTest, ShortNumbersWorkWhereFullIdsDo) {
  const CliRun::Result submitted = Run({"submit", "--", "echo", "short"});
  ASSERT_THAT(submitted.out, StartsWith("task "));
  const std::string number(absl::StripSuffix(submitted.out.substr(5), "\n"));
  EXPECT_LT(number.size(), 10U);
  EXPECT_EQ(Run({"wait", number}).code, 0);
  EXPECT_EQ(Run({"logs", number}).out, "short\n");
}

TEST_F(CliTest, LogsGivesTheLastLinesAndFollows) {
  const std::string id = Submit({"sh", "-c", "seq 5; echo e >&2"});
  ASSERT_EQ(Run({"wait", id}).code, 0);
  EXPECT_EQ(Run({"logs", id, "-n", "2", "--stream", "stdout"}).out, "4\n5\n");
  const CliRun::Result both = Run({"logs", "-f", id});
  EXPECT_EQ(both.out, "1\n2\n3\n4\n5\n");
  EXPECT_EQ(both.err, "e\n");
}

TEST_F(CliTest, InterruptingWaitAndLogsLeavesTheTaskAlone) {
  const std::string id = Submit({"sh", "-c", "echo begun; exec sleep 600"});
  auto logs = Begin({"logs", "-f", id});
  ASSERT_TRUE(WaitFor([&] { return logs->Out() == "begun\n"; })) << logs->Err();
  logs->Signal(SIGINT);
  EXPECT_EQ(logs->Finish().code, 130);
  EXPECT_THAT(Run({"show", id}).out, HasSubstr("running"));
  EXPECT_EQ(Run({"wait", id, "--timeout", "50ms"}).code, 5);
  EXPECT_EQ(Run({"cancel", id}).code, 0);
  EXPECT_THAT(Run({"show", id}).out, HasSubstr("cancelled"));
}

TEST_F(CliTest, KillTakesEverySpellingOfASignal) {
  for (const char* signal : {"TERM", "SIGTERM", "term", "15"}) {
    const std::string id = Submit({"sh", "-c", "echo up; exec sleep 600"});
    ASSERT_TRUE(WaitFor([&] { return Run({"logs", id}).out == "up\n"; }));
    EXPECT_EQ(Run({"kill", "-s", signal, id}).code, 0);
    EXPECT_EQ(Run({"wait", id, "-q"}).code, 143) << signal;
  }
}

TEST_F(CliTest, CallPrintsTheValue) {
  EXPECT_EQ(Run({"call", "-p", "native", "echo", "--data", "hello"}).out, "hello");
  EXPECT_EQ(Run({"call", "-p", "native", "echo"}, "from stdin").out, "from stdin");
  EXPECT_EQ(Run({"call", "-p", "native", "echo", "--json", R"({"x": 1})"}).out, R"({"x": 1})");
  EXPECT_THAT(Run({"call", "-p", "native", "echo", "--data", "hi", "--json"}).out,
              HasSubstr("TASK_STATE_SUCCEEDED"));
  const CliRun::Result failed = Run({"call", "-p", "native", "fail", "--data", "my own words"});
  EXPECT_EQ(failed.code, 1);
  EXPECT_EQ(failed.out, "");
  EXPECT_THAT(failed.err, HasSubstr("my own words"));
}

TEST_F(CliTest, MapKeepsTheOrderOfTheItems) {
  std::string items;
  std::string expected;
  for (int i = 0; i < 500; ++i) {
    items += std::to_string(i) + "\n";
    expected += std::to_string(i) + "\n";
  }
  EXPECT_EQ(Run({"map", "-p", "native", "-f", "echo"}, items).out, expected);
  EXPECT_EQ(Run({"map", "--", "echo", "<{}>", ":::", "a", "b c"}).out, "<a>\n<b c>\n");
}

TEST_F(CliTest, MapReportsEachFailureAndGoesOnWhenAsked) {
  const CliRun::Result result =
      Run({"map", "--progress", "--keep-going", "--", "sh", "-c", "exit {}", ":::", "0", "3", "0"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("item '3'"));
  EXPECT_THAT(result.err, HasSubstr("1 of 3 items failed"));
  EXPECT_THAT(result.err, HasSubstr("3/3 100%"));
  EXPECT_THAT(result.err, HasSubstr("default: "));
}

TEST_F(CliTest, ShowLaysOutTheExitReport) {
  const std::string id = Submit({"sh", "-c", "echo last words >&2; kill -SEGV $$"});
  EXPECT_EQ(Run({"wait", "-q", id}).code, 139);
  const CliRun::Result shown = Run({"show", id});
  EXPECT_THAT(shown.out, HasSubstr("exit report"));
  EXPECT_THAT(shown.out, HasSubstr("SIGSEGV"));
  EXPECT_THAT(shown.out, HasSubstr("| last words"));
}

TEST_F(CliTest, ListFiltersByStateAndLabel) {
  ASSERT_EQ(Run({"submit", "--wait", "-l", "job=blue", "--", "true"}).code, 0);
  ASSERT_EQ(Run({"submit", "--wait", "-q", "-l", "job=blue", "--", "false"}).code, 1);
  const CliRun::Result ids = Run({"list", "-q", "--label", "job=blue", "--state", "failed"});
  EXPECT_EQ(ids.code, 0) << ids.err;
  EXPECT_GE(ids.out.size(), 10U);
  EXPECT_EQ(ids.out.find('\n'), ids.out.size() - 1) << ids.out;
  EXPECT_THAT(Run({"ls", "--label", "job=blue"}).out, HasSubstr("succeeded"));
}

TEST_F(CliTest, RetryAndRemoveWorkOnFinishedTasks) {
  const std::string id = Submit({"sh", "-c", "echo again"});
  ASSERT_EQ(Run({"wait", id}).code, 0);
  const CliRun::Result again = Run({"retry", "-q", id});
  ASSERT_EQ(again.code, 0) << again.err;
  const std::string new_id(absl::StripSuffix(again.out, "\n"));
  EXPECT_NE(new_id, id);
  EXPECT_EQ(Run({"wait", new_id}).code, 0);
  EXPECT_EQ(Run({"rm", id}).code, 0);
  EXPECT_EQ(Run({"show", id}).code, 4);
}

TEST_F(CliTest, PoolsAreCreatedScaledPausedResumedAndDeleted) {
  EXPECT_EQ(Run({"pool", "create", "extra", "-n", "1"}).code, 0);
  EXPECT_EQ(Run({"scale", "extra", "2"}).code, 0);
  EXPECT_THAT(Run({"workers", "extra"}).out, HasSubstr("extra/1."));
  EXPECT_EQ(Run({"pause", "extra"}).code, 0);
  EXPECT_THAT(Run({"pools"}).out, HasSubstr("paused"));
  EXPECT_EQ(Run({"resume", "extra"}).code, 0);
  EXPECT_EQ(Run({"run", "-p", "extra", "--", "echo", "in extra"}).out, "in extra\n");
  EXPECT_EQ(Run({"drain", "extra"}).code, 0);
  EXPECT_EQ(Run({"pool", "delete", "extra"}).code, 0);
  EXPECT_EQ(Run({"pool", "show", "extra"}).code, 4);
}

TEST_F(CliTest, LookingVerbsAnswerInWordsAndInJson) {
  for (const std::vector<std::string>& verb : {std::vector<std::string>{},
                                               {"status"},
                                               {"ping"},
                                               {"pools"},
                                               {"workers"},
                                               {"functions"},
                                               {"list"},
                                               {"top", "--once"},
                                               {"version"},
                                               {"doctor"}}) {
    const std::string name = verb.empty() ? "(none)" : verb[0];
    const CliRun::Result words = Run(verb);
    EXPECT_EQ(words.code, 0) << name << ": " << words.err << words.out;
    EXPECT_NE(words.out, "") << name;
    std::vector<std::string> with_json = verb;
    with_json.emplace_back("--json");
    const CliRun::Result json = Run(with_json);
    EXPECT_EQ(json.code, 0) << name << ": " << json.err;
    EXPECT_THAT(json.out, StartsWith("{")) << name;
    EXPECT_EQ(json.err, "") << name;
  }
}

TEST_F(CliTest, FunctionsAreListedAndTheirAbsenceIsExplained) {
  const CliRun::Result native = Run({"functions", "native"});
  EXPECT_EQ(native.code, 0);
  EXPECT_THAT(native.out, HasSubstr("echo"));
  EXPECT_EQ(native.err, "");
  ASSERT_EQ(Run({"pool", "create", "programs"}).code, 0);
  const CliRun::Result programs = Run({"functions", "programs"});
  EXPECT_EQ(programs.code, 0);
  EXPECT_EQ(programs.out, "POOL  FUNCTION  DESCRIPTION\n");
  EXPECT_EQ(programs.err,
            "programs: runs programs, not functions: prefork run -p programs PROGRAM\n");
  const CliRun::Result json = Run({"functions", "native", "--json"});
  EXPECT_THAT(json.out, HasSubstr("\"echo\""));
  EXPECT_EQ(Run({"functions", "nowhere"}).code, 4);
  EXPECT_EQ(Run({"pool", "delete", "programs"}).code, 0);
}

TEST_F(CliTest, EventsAfterASequenceNumberEnd) {
  ASSERT_EQ(Run({"run", "true"}).code, 0);
  const CliRun::Result events = Run({"events", "--after", "1"});
  EXPECT_EQ(events.code, 0) << events.err;
  EXPECT_THAT(events.out, HasSubstr("task "));
}

struct BadInput {
  const char* name;
  std::vector<std::string> arguments;
  int code;
  const char* message;
};
class CliBadInputTest : public CliTest, public ::testing::WithParamInterface<BadInput> {};

TEST_P(CliBadInputTest, IsOneClearLine) {
  const CliRun::Result result = Run(GetParam().arguments);
  EXPECT_EQ(result.code, GetParam().code);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, StartsWith("prefork: "));
  EXPECT_THAT(result.err, HasSubstr(GetParam().message));
  EXPECT_EQ(result.err.find('\n'), result.err.size() - 1) << result.err;
}

INSTANTIATE_TEST_SUITE_P(
    All, CliBadInputTest,
    ::testing::Values(
        BadInput{"verb", {"sttaus"}, 2, "did you mean 'status'?"},
        BadInput{"option", {"list", "--nosuch"}, 2, "see prefork list --help"},
        BadInput{"nothing_to_run", {"run"}, 2, "run what?"},
        BadInput{"nothing_to_submit", {"submit"}, 2, "submit what?"},
        BadInput{"task_word", {"show", "abc"}, 2, "'abc' is not a task ID"},
        BadInput{"task_number", {"show", "99999999"}, 4, "no task 99999999"},
        BadInput{"state", {"list", "--state", "runing"}, 2, "did you mean 'running'?"},
        BadInput{"label", {"list", "--label", "x"}, 2, "NAME=VALUE"},
        BadInput{"pool", {"scale", "natve", "2"}, 4, "did you mean 'native'?"},
        BadInput{"pool_of_run", {"run", "-p", "defualt", "true"}, 4, "did you mean 'default'?"},
        BadInput{"signal", {"kill", "-s", "TREM", "1"}, 2, "did you mean 'TERM'?"},
        BadInput{"duration", {"run", "--delay", "soon", "true"}, 2, "soon"},
        BadInput{"retry_on",
                 {"run", "--retry", "1", "--retry-on", "crush", "true"},
                 2,
                 "did you mean 'crash'?"},
        BadInput{"file", {"call", "f", "--file", "/nonexistent"}, 2, "/nonexistent"},
        BadInput{
            "twoarguments", {"call", "f", "--json", "1", "--data", "2"}, 2, "leave out --data"},
        BadInput{"address", {"ping", "--address", "localhost:1"}, 2, "unix:/path"},
        BadInput{"no_daemon", {"ping", "--address", "unix:/nonexistent/s"}, 3, "does not exist"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace prefork::testing
