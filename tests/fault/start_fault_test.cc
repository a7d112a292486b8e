// Zygotes and workers that hang or die before they are ready, always or one in ten: nobody waits
// for them, they are not started without end, and the pool says why and recovers.
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fault/fault_bed.h"
#include "tests/fault/strike_file.h"
#include "worker_programs.h"

namespace prefork::fault {
namespace {

using client::EndCause;
using client::TaskHandle;
using client::TaskState;
using ::testing::HasSubstr;

// A pool whose zygote is a script: `broken` while the cure does not exist, then a sound one.
class StartFaultTest : public ::testing::Test {
 protected:
  StrikeFile cure_;  // only its path

  std::string Worker(const std::string& program) const {
    return absl::StrCat("exec ", program, " --runtime native --module ",
                        worker_testing::kTestModule);
  }
  std::string PoolUntilCured(const std::string& name, const std::string& broken,
                             const std::string& more = "") const {
    return absl::StrCat("[pool.", name, "]\nruntime = \"native\"\nsize = 2\nmodules = [\"",
                        worker_testing::kTestModule,
                        "\"]\nzygote_command = [\"/bin/sh\", \"-c\", \"[ -e ", cure_.path(),
                        " ] || { ", broken, "; }; ", Worker(worker_testing::kWorkerProgram),
                        "\"]\n", more, "\n");
  }
  // Workers of a sound zygote that do `fault` (see fault_plan.h).
  std::string FaultyWorkersUntilCured(const std::string& name, const std::string& fault,
                                      const std::string& more = "") const {
    return PoolUntilCured(
        name,
        absl::StrCat("PREFORK_FAULT=", fault, " ", Worker(worker_testing::kFaultyWorkerProgram)),
        more);
  }
  void Cure() { std::ofstream(cure_.path()) << "cured\n"; }

  // The daemon must answer, the sound pool work, and a task of the broken one end in time.
  static void ExpectNobodyWaits(FaultBed& bed) {
    const absl::Time begin = absl::Now();
    const TaskHandle task = bed.Submit(
        {.pool = "broken", .function = "echo", .queue_timeout = absl::Milliseconds(300)});
    for (int i = 0; i < 20; ++i) bed.ExpectWorks("sound");
    ExpectEnd(FaultBed::End(task), TaskState::kTimedOut, EndCause::kQueueExpired);
    EXPECT_LT(absl::Now() - begin, kPatience / 2);
  }
  static void ExpectDegraded(FaultBed& bed, const std::string& reason) {
    ASSERT_TRUE(bed.WaitForPool("broken", v1::POOL_STATE_DEGRADED)) << bed.daemon().Log();
    EXPECT_THAT(bed.Pool("broken").reason(), HasSubstr(reason));
    const absl::StatusOr<v1::DaemonStatus> status = bed.api().GetStatus();
    ASSERT_TRUE(status.ok()) << status.status();
    ASSERT_FALSE(status->warnings().empty());
    EXPECT_THAT(status->warnings(0), HasSubstr("broken"));
  }
  // Works through workers, which are recycled all the time, until a start has failed and beyond.
  static void ExpectWorksUntilAStartFails(FaultBed& bed) {
    EXPECT_TRUE(testing::WaitFor(
        [&] {
          bed.ExpectWorks("broken");
          return bed.Pool("broken").worker_exits() > 0;
        },
        kPatience))
        << bed.daemon().Log();
    for (int i = 0; i < 20; ++i) bed.ExpectWorks("broken");
  }
  // Once cured it comes back by itself, and what was queued meanwhile runs.
  void ExpectRecovery(FaultBed& bed, bool reload) {
    const TaskHandle waiting = bed.Submit("broken", "echo", "late");
    Cure();
    if (reload) {
      const absl::StatusOr<v1::Pool> pool = bed.api().ReloadPool("broken");
      EXPECT_TRUE(pool.ok()) << pool.status();
    }
    const client::TaskResult result = FaultBed::End(waiting);
    EXPECT_TRUE(result.ok()) << Describe(result) << bed.daemon().Log();
    EXPECT_EQ(result.value, "late");
    EXPECT_EQ(bed.Pool("broken").reason(), "");
  }
};

constexpr char kShortStart[] = "start_timeout = \"500ms\"";

TEST_F(StartFaultTest, ZygoteThatDies) {
  FaultBed bed(FaultBed::Broken(),
               {.config = MisbehavingPool("sound", 1) +
                          PoolUntilCured("broken", "echo no module named numpy >&2; exit 3")});
  ExpectDegraded(bed, "no module named numpy");
  ExpectNobodyWaits(bed);
  ExpectRecovery(bed, /*reload=*/false);
}

TEST_F(StartFaultTest, ZygoteThatHangs) {
  FaultBed bed(FaultBed::Broken(), {.config = MisbehavingPool("sound", 1) +
                                              PoolUntilCured("broken", "sleep 1000", kShortStart)});
  ExpectDegraded(bed, "start_timeout");
  ExpectNobodyWaits(bed);
  ExpectRecovery(bed, /*reload=*/false);
}

TEST_F(StartFaultTest, WorkersThatDie) {
  FaultBed bed(FaultBed::Broken(),
               {.config = MisbehavingPool("sound", 1) +
                          FaultyWorkersUntilCured("broken", "exit@before_ready")});
  ExpectDegraded(bed, "exited with code 3");
  ExpectNobodyWaits(bed);
  ExpectRecovery(bed, /*reload=*/true);
}

TEST_F(StartFaultTest, WorkersThatHang) {
  FaultBed bed(FaultBed::Broken(),
               {.config = MisbehavingPool("sound", 1) +
                          FaultyWorkersUntilCured("broken", "hang@before_ready", kShortStart)});
  ExpectDegraded(bed, "start_timeout");
  ExpectNobodyWaits(bed);
  ExpectRecovery(bed, /*reload=*/true);
}

TEST_F(StartFaultTest, WorkersThatAreStopped) {
  FaultBed bed(FaultBed::Broken(),
               {.config = MisbehavingPool("sound", 1) +
                          FaultyWorkersUntilCured("broken", "stop@forked", kShortStart)});
  ExpectDegraded(bed, "start_timeout");
  ExpectNobodyWaits(bed);
  ExpectRecovery(bed, /*reload=*/true);
}

TEST_F(StartFaultTest, WorkersThatSayNonsense) {
  FaultBed bed(FaultBed::Broken(),
               {.config = MisbehavingPool("sound", 1) +
                          FaultyWorkersUntilCured("broken", "message@before_ready")});
  ExpectDegraded(bed, "nonsense on its control socket");
  ExpectNobodyWaits(bed);
  ExpectRecovery(bed, /*reload=*/true);
}

TEST_F(StartFaultTest, ZygoteWithoutMemoryForItsWorkers) {
  FaultBed bed(FaultBed::Broken(),
               {.config = MisbehavingPool("sound", 1) +
                          FaultyWorkersUntilCured("broken", "no_memory@zygote_ready")});
  ExpectDegraded(bed, "fork of a worker: Cannot allocate memory");
  EXPECT_THAT(bed.Pool("broken").reason(), HasSubstr("MemoryMax="));
  ExpectNobodyWaits(bed);
  ExpectRecovery(bed, /*reload=*/true);
}

TEST_F(StartFaultTest, ZygoteThatMayNotOpenWhatAWorkerNeeds) {
  FaultBed bed(
      FaultBed::Broken(),
      {.config = MisbehavingPool("sound", 1) +
                 PoolUntilCured("broken", absl::StrCat("ulimit -n 10; ",
                                                       Worker(worker_testing::kWorkerProgram)))});
  ExpectDegraded(bed, "Too many open files");
  EXPECT_THAT(bed.Pool("broken").reason(), HasSubstr("LimitNOFILE="));
  ExpectNobodyWaits(bed);
  ExpectRecovery(bed, /*reload=*/true);
}

TEST_F(StartFaultTest, FailingStartsAreFewAndFarBetween) {
  const std::string count = cure_.path() + "-count";
  FaultBed bed(FaultBed::Broken(),
               {.config = MisbehavingPool("sound", 1) +
                          PoolUntilCured("broken", absl::StrCat("echo x >> ", count, "; exit 1"))});
  const auto starts = [&count] {
    std::ifstream file(count);
    int lines = 0;
    for (std::string line; std::getline(file, line);) ++lines;
    return lines;
  };
  const absl::Time begin = absl::Now();
  ExpectDegraded(bed, "exited with code 1");
  ASSERT_TRUE(testing::WaitFor([&] { return starts() >= 3; }, kPatience));
  // 1 s, then 2 s: the third start can't come earlier than that.
  EXPECT_GE(absl::Now() - begin, absl::Seconds(2));
  EXPECT_LE(starts(), 4);
  ExpectRecovery(bed, /*reload=*/true);
}

// One in ten: the others do the work, and each bad start is replaced.
TEST_F(StartFaultTest, OneWorkerInTenDies) {
  FaultBed bed(FaultBed::Broken(),
               {.config = MisbehavingPool("sound", 1) +
                          FaultyWorkersUntilCured("broken", "exit@before_ready:every=10",
                                                  "max_tasks_per_worker = 2")});
  ExpectWorksUntilAStartFails(bed);
}

TEST_F(StartFaultTest, OneWorkerInTenHangs) {
  FaultBed bed(
      FaultBed::Broken(),
      {.config = MisbehavingPool("sound", 1) +
                 FaultyWorkersUntilCured("broken", "hang@before_ready:every=10",
                                         "max_tasks_per_worker = 2\nstart_timeout = \"500ms\"")});
  ExpectWorksUntilAStartFails(bed);
}

TEST_F(StartFaultTest, ADedicatedTaskWhoseProcessDiesIsToldWhy) {
  FaultBed bed(FaultBed::Broken(),
               {.config = MisbehavingPool("sound", 1) +
                          PoolUntilCured("broken", "echo no licence >&2; exit 3")});
  ExpectDegraded(bed, "no licence");
  const client::TaskResult result =
      FaultBed::End(bed.Submit({.pool = "broken", .function = "echo", .dedicated = true}));
  EXPECT_FALSE(result.ok());
  ASSERT_NE(result.exit_report, nullptr);
  EXPECT_EQ(result.exit_report->cause, EndCause::kStartFailed) << Describe(result);
  EXPECT_THAT(result.exit_report->detail, HasSubstr("no licence"));
  ExpectRecovery(bed, /*reload=*/false);
}

}  // namespace
}  // namespace prefork::fault
