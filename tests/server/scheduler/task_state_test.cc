#include "server/scheduler/task_state.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "server/scheduler/types.h"

namespace prefork::scheduler {
namespace {

TEST(TaskStateTest, AllowsExactlyTheTransitionsOfATasksLife) {
  // One letter a target state, in the order of the enum: W Q D R S F C T X.
  const std::vector<std::string> allowed = {
      "QTX",       // kWaiting
      "WDCTX",     // kQueued
      "WQRSFCTX",  // kDispatched
      "WQSFCTX",   // kRunning
      "",         "", "", "", "",
  };
  constexpr std::string_view kLetters = "WQDRSFCTX";
  for (size_t from = 0; from < kLetters.size(); ++from) {
    for (size_t to = 0; to < kLetters.size(); ++to) {
      EXPECT_EQ(IsTransitionAllowed(static_cast<TaskState>(from), static_cast<TaskState>(to)),
                absl::StrContains(allowed[from], kLetters[to]))
          << kLetters[from] << " to " << kLetters[to];
    }
  }
}

TEST(TaskStateTest, EveryCauseLeadsToATerminalState) {
  for (int cause = 0; cause <= static_cast<int>(EndCause::kInternalLimit); ++cause) {
    EXPECT_TRUE(IsTerminal(TerminalStateOf(static_cast<EndCause>(cause)))) << cause;
  }
}

TEST(TaskStateTest, EveryStateAndCauseHasANameOfItsOwn) {
  std::vector<std::string> names;
  for (int cause = 0; cause <= static_cast<int>(EndCause::kInternalLimit); ++cause) {
    names.emplace_back(EndCauseName(static_cast<EndCause>(cause)));
    EXPECT_NE(names.back(), "UNKNOWN") << cause;
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
  EXPECT_EQ(TaskStateName(TaskState::kWaiting), TaskStateName(TaskState::kQueued));
  EXPECT_EQ(TaskStateName(TaskState::kTimedOut), "TIMED_OUT");
  EXPECT_EQ(EndCauseName(static_cast<EndCause>(200)), "UNKNOWN");
  EXPECT_EQ(TaskStateName(static_cast<TaskState>(200)), "UNKNOWN");
}

TEST(TaskStateTest, BackoffStaysBelowItsMaximumHoweverManyAttempts) {
  const RetryPolicy policy{.max_attempts = 1'000'000,
                           .backoff_ns = 1'000,
                           .backoff_multiplier = 10,
                           .max_backoff_ns = 5'000'000};
  EXPECT_EQ(BackoffNs(policy, 1), 1'000);
  EXPECT_EQ(BackoffNs(policy, 3), 100'000);
  EXPECT_EQ(BackoffNs(policy, 5), 5'000'000);
  EXPECT_EQ(BackoffNs(policy, 999'999), 5'000'000) << "the power is infinite here";
}

}  // namespace
}  // namespace prefork::scheduler
