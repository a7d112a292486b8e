#include "server/pool/worker_state.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace prefork::pool {
namespace {

constexpr WorkerState kStates[] = {WorkerState::kForking, WorkerState::kStarting,
                                   WorkerState::kReady,   WorkerState::kRetiring,
                                   WorkerState::kDead,    WorkerState::kExited};
constexpr WorkerEvent kEvents[] = {WorkerEvent::kForked, WorkerEvent::kForkFailed,
                                   WorkerEvent::kReady,  WorkerEvent::kRetire,
                                   WorkerEvent::kDied,   WorkerEvent::kSettled};

TEST(WorkerStateTest, LivesAsPlanned) {
  WorkerState state = WorkerState::kForking;
  for (const WorkerEvent event : {WorkerEvent::kForked, WorkerEvent::kReady, WorkerEvent::kRetire,
                                  WorkerEvent::kDied, WorkerEvent::kSettled}) {
    const auto next = NextState(state, event);
    ASSERT_TRUE(next.has_value());
    state = *next;
  }
  EXPECT_EQ(state, WorkerState::kExited);
}

TEST(WorkerStateTest, EveryForkedStateCanDieAndNoneTwice) {
  for (const WorkerState state : kStates) {
    const bool alive = state == WorkerState::kStarting || state == WorkerState::kReady ||
                       state == WorkerState::kRetiring;
    EXPECT_EQ(NextState(state, WorkerEvent::kDied).has_value(), alive) << WorkerStateName(state);
  }
}

TEST(WorkerStateTest, NothingGoesBackwards) {
  for (const WorkerState state : kStates) {
    for (const WorkerEvent event : kEvents) {
      const auto next = NextState(state, event);
      if (!next) continue;
      EXPECT_GT(*next, state);
    }
  }
}

TEST(WorkerStateTest, ExitedIsTheEnd) {
  for (const WorkerEvent event : kEvents) {
    EXPECT_EQ(NextState(WorkerState::kExited, event), std::nullopt);
  }
}

TEST(WorkerStateTest, NamesDiffer) {
  std::set<std::string> names;
  for (const WorkerState state : kStates) names.insert(WorkerStateName(state));
  EXPECT_EQ(names.size(), std::size(kStates));
}

}  // namespace
}  // namespace prefork::pool
