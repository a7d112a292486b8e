// A worker writes nonsense into each field of its lane. The daemon kills that worker, says why, and
// nobody else notices.
#include <signal.h>

#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fault/fault_bed.h"
#include "tests/fault/strike_file.h"

namespace prefork::fault {
namespace {

using client::EndCause;
using client::TaskHandle;
using client::TaskResult;
using client::TaskState;
using ::testing::HasSubstr;

struct Garbage {
  const char* step;
  const char* damage;
};
std::ostream& operator<<(std::ostream& out, const Garbage& garbage) {
  return out << garbage.damage << " at " << garbage.step;
}
std::string Name(const ::testing::TestParamInfo<Garbage>& info) {
  return absl::StrReplaceAll(info.param.damage, {{"-", "_"}});
}

class LaneGarbageTest : public ::testing::TestWithParam<Garbage> {
 protected:
  StrikeFile strike_;
  FaultBed bed_{
      {.config = MisbehavingPool("p", 2, strike_.PoolSetting()), .flags = UseFaultyWorkers()}};

  // The end of the task whose worker does the damage, beside a neighbour that has to go on.
  TaskResult EndOfDamaged() {
    const TaskHandle neighbour = bed_.Submit("p", "wait_cancelled");
    EXPECT_TRUE(bed_.WaitForState(neighbour.id(), v1::TASK_STATE_RUNNING));
    strike_.Plan(absl::StrCat(GetParam().damage, "@", GetParam().step));
    TaskResult result = FaultBed::End(bed_.Submit("p", "echo", "value"));
    EXPECT_TRUE(testing::WaitFor([&] { return strike_.HasStruck(); }));
    bed_.ExpectWorks("p");
    EXPECT_FALSE(neighbour.done());
    neighbour.Cancel();
    ExpectEnd(FaultBed::End(neighbour), TaskState::kCancelled, EndCause::kCancelledByClient);
    return result;
  }
};

using FatalGarbageTest = LaneGarbageTest;

TEST_P(FatalGarbageTest, KillsTheWorkerAndFailsItsTask) {
  const TaskResult result = EndOfDamaged();
  ExpectEnd(result, TaskState::kCrashed, EndCause::kProtocolViolation);
  ASSERT_NE(result.exit_report, nullptr);
  EXPECT_THAT(result.exit_report->detail, HasSubstr("broke the lane's protocol"));
  EXPECT_EQ(bed_.Pool("p").worker_exits(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Index, FatalGarbageTest,
                         ::testing::ValuesIn<Garbage>({{"claimed", "up-tail-far-ahead"},
                                                       {"claimed", "up-tail-unaligned"},
                                                       {"claimed", "up-tail-backwards"}}),
                         Name);
INSTANTIATE_TEST_SUITE_P(RecordHeader, FatalGarbageTest,
                         ::testing::ValuesIn<Garbage>({{"result_written", "up-body-bytes"},
                                                       {"result_written", "up-body-bytes-short"},
                                                       {"result_written", "up-body-bytes-zero"},
                                                       {"result_written", "up-kind-zero"},
                                                       {"result_written", "up-kind-unknown"},
                                                       {"result_written", "up-kind-task"},
                                                       {"result_written", "up-kind-started"},
                                                       {"result_written", "up-kind-padding"},
                                                       {"result_written", "up-claim-unknown"},
                                                       {"result_written", "up-claim-revoked"},
                                                       {"result_written", "up-generation"}}),
                         Name);
INSTANTIATE_TEST_SUITE_P(
    Finished, FatalGarbageTest,
    ::testing::ValuesIn<Garbage>({{"result_written", "finished-task-zero"},
                                  {"result_written", "finished-task-other"},
                                  {"result_written", "finished-outcome-zero"},
                                  {"result_written", "finished-outcome-unknown"},
                                  {"result_written", "finished-started-negative"},
                                  {"result_written", "finished-before-started"},
                                  {"result_written", "finished-cpu"},
                                  {"result_written", "finished-segment-unknown"},
                                  {"result_written", "finished-value-bytes"},
                                  {"result_written", "finished-error-bytes"},
                                  {"result_written", "finished-type-bytes"}}),
    Name);
INSTANTIATE_TEST_SUITE_P(OtherRecords, FatalGarbageTest,
                         ::testing::ValuesIn<Garbage>({{"claimed", "started-twice"},
                                                       {"claimed", "started-other"},
                                                       {"claimed", "started-negative"},
                                                       {"claimed", "started-long"},
                                                       {"claimed", "progress-text-bytes"},
                                                       {"claimed", "progress-other"},
                                                       {"claimed", "partial-segment-unknown"},
                                                       {"claimed", "partial-value-bytes"},
                                                       {"claimed", "partial-type-bytes"},
                                                       {"claimed", "task-upwards"}}),
                         Name);
INSTANTIATE_TEST_SUITE_P(ClaimWord, FatalGarbageTest,
                         ::testing::ValuesIn<Garbage>({{"result_written", "down-claim-unclaimed"},
                                                       {"result_written", "down-claim-revoked"}}),
                         Name);
INSTANTIATE_TEST_SUITE_P(Everything, FatalGarbageTest,
                         ::testing::ValuesIn<Garbage>({{"result_written", "all-ones"}}), Name);

// An empty lane makes sense to the daemon; the worker, whose own counters say otherwise, gives up.
// Whoever looks first names the cause.
using BlankedLaneTest = LaneGarbageTest;

TEST_P(BlankedLaneTest, EndsTheWorkerAndFailsItsTask) {
  const TaskResult result = EndOfDamaged();
  EXPECT_EQ(result.state, TaskState::kCrashed) << Describe(result);
  ASSERT_NE(result.exit_report, nullptr);
  EXPECT_THAT(result.exit_report->cause,
              ::testing::AnyOf(EndCause::kProtocolViolation, EndCause::kWorkerDied));
  EXPECT_EQ(bed_.Pool("p").worker_exits(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Everything, BlankedLaneTest,
                         ::testing::ValuesIn<Garbage>({{"result_written", "all-zeros"}}), Name);

// What the engine never reads back: writing it harms nobody, not even the task.
using HarmlessGarbageTest = LaneGarbageTest;

TEST_P(HarmlessGarbageTest, ChangesNothing) {
  const TaskResult result = EndOfDamaged();
  EXPECT_TRUE(result.ok()) << Describe(result);
  EXPECT_EQ(result.value, "value");
  EXPECT_EQ(bed_.Pool("p").worker_exits(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Field, HarmlessGarbageTest,
                         ::testing::ValuesIn<Garbage>({{"result_written", "plain-header-fields"},
                                                       {"result_written", "status-words"},
                                                       {"result_written", "down-claim-unknown"},
                                                       {"result_written", "down-head-far-ahead"},
                                                       {"result_written", "down-ring"},
                                                       {"result_written", "wait-status"}}),
                         Name);

// A worker's clock is the daemon's: times that lie ahead are cut.
using FutureGarbageTest = LaneGarbageTest;

TEST_P(FutureGarbageTest, TimesAreCutToWhatCanBe) {
  strike_.Plan(absl::StrCat(GetParam().damage, "@", GetParam().step));
  const TaskHandle task = bed_.Submit("p", "echo", "value");
  EXPECT_TRUE(FaultBed::End(task).ok());
  const absl::StatusOr<v1::Task> seen = bed_.api().GetTask(task.id());
  ASSERT_TRUE(seen.ok()) << seen.status();
  const absl::Time now = absl::Now();
  EXPECT_GE(seen->started_at().seconds(), seen->submitted_at().seconds());
  EXPECT_GE(seen->finished_at().seconds(), seen->started_at().seconds());
  EXPECT_LE(absl::FromUnixSeconds(seen->finished_at().seconds()), now);
  EXPECT_LT(seen->result().exit_report().run_time().seconds(), 60);
}

INSTANTIATE_TEST_SUITE_P(
    Field, FutureGarbageTest,
    ::testing::ValuesIn<Garbage>({{"result_written", "finished-in-the-future"},
                                  {"result_written", "finished-started-in-the-future"},
                                  {"result_written", "finished-started-long-ago"}}),
    Name);

// What was said before the nonsense stands.
class LateGarbageTest : public LaneGarbageTest {};

TEST_P(LateGarbageTest, TheResultBeforeItCounts) {
  const TaskResult result = EndOfDamaged();
  EXPECT_TRUE(result.ok()) << Describe(result);
  EXPECT_TRUE(testing::WaitFor([&] { return bed_.Pool("p").worker_exits() == 1; }));
}

INSTANTIATE_TEST_SUITE_P(Record, LateGarbageTest,
                         ::testing::ValuesIn<Garbage>({{"result_written", "finished-twice"}}),
                         Name);

// The worker spoils its lane and dies of it: only one of the tasks in it may be affected.
class RuinTest : public LaneGarbageTest {};

TEST_P(RuinTest, DeathInARuinedLaneCostsOneTask) {
  auto spec = bed_.client().Prepare({.pool = "p", .function = "echo"});
  ASSERT_TRUE(spec.ok()) << spec.status();
  std::vector<TaskHandle> tasks;
  strike_.Plan(absl::StrCat(GetParam().damage, "@", GetParam().step, ",kill@", GetParam().step));
  for (int i = 0; i < 2000; ++i) {
    auto task = spec->Submit("value");
    ASSERT_TRUE(task.ok()) << task.status();
    tasks.push_back(*task);
  }
  int affected = 0;
  for (const TaskHandle& task : tasks) {
    const TaskResult result = FaultBed::End(task);
    if (result.ok()) continue;
    ++affected;
    EXPECT_EQ(result.state, TaskState::kCrashed) << Describe(result);
  }
  EXPECT_TRUE(strike_.HasStruck());
  EXPECT_LE(affected, 1);
}

INSTANTIATE_TEST_SUITE_P(Lane, RuinTest,
                         ::testing::ValuesIn<Garbage>({{"claimed", "down-ring"},
                                                       {"result_written", "all-ones"},
                                                       {"claimed", "all-zeros"},
                                                       {"claimed", "down-head-far-ahead"}}),
                         Name);

}  // namespace
}  // namespace prefork::fault
