#include "server/engine/exit_reporter.h"

#include <sys/wait.h>

#include <csignal>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/server/engine/fake_worker.h"

namespace prefork::engine {
namespace {

using scheduler::EndCause;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ExitReporterTest : public ::testing::Test {
 protected:
  ExitReporterTest() {
    auto options = std::make_shared<TaskOptions>();
    options->function = "resize";
    options->timeout = absl::Seconds(2);
    options->queue_timeout = absl::Seconds(10);
    task_.id = 17;
    task_.options = options;
    task_.submitted_ns = 1'000'000'000;
    task_.attempt = 2;
  }
  void Ran() {
    task_.worker_index = 0;
    task_.worker_generation = 3;
    task_.worker_pid = 4711;
    task_.started_ns = task_.first_started_ns = 3'000'000'000;
    task_.finished_ns = 3'500'000'000;
  }
  ExitReport Complete(EndCause cause, std::string_view hint = {}) {
    CompleteReport(task_, cause, hint, &report_);
    return report_;
  }

  TaskRecord task_;
  ExitReport report_;
};

TEST_F(ExitReporterTest, TellsTimesAttemptAndWorker) {
  Ran();
  const ExitReport report = Complete(EndCause::kCompleted);
  EXPECT_EQ(report.attempt, 2u);
  EXPECT_EQ(report.worker_generation, 3u);
  EXPECT_EQ(report.pid, 4711);
  EXPECT_EQ(report.run_time, absl::Milliseconds(500));
  EXPECT_EQ(report.queue_time, absl::Seconds(2));
  EXPECT_EQ(report.detail, "worker default/0 generation 3 (pid 4711) ran the task to its end");
}

TEST_F(ExitReporterTest, NamesTheSignalAndWhoDidNotSendIt) {
  Ran();
  report_.wait_status = SIGKILL;
  EXPECT_THAT(Complete(EndCause::kWorkerDied).detail,
              AllOf(HasSubstr("worker default/0 generation 3 (pid 4711) was killed by signal 9 "
                              "(SIGKILL) while it ran the task"),
                    HasSubstr("no part of the daemon sent it")));
}

TEST_F(ExitReporterTest, SaysWhenAClientHadTheSignalSent) {
  Ran();
  report_.wait_status = SIGKILL;
  EXPECT_THAT(Complete(EndCause::kWorkerDied, "a client had that signal sent").detail,
              HasSubstr("; a client had that signal sent"));
}

TEST_F(ExitReporterTest, TellsAnExitInTheMiddleFromADeath) {
  Ran();
  report_.wait_status = W_EXITCODE(3, 0);
  EXPECT_THAT(Complete(EndCause::kWorkerDied).detail,
              AllOf(HasSubstr("exited with code 3"), HasSubstr("a function has to return")));
  report_ = ExitReport();
  EXPECT_THAT(Complete(EndCause::kWorkerDied).detail, HasSubstr("lost together with its zygote"));
}

TEST_F(ExitReporterTest, SaysWhatToDoAboutOutOfMemory) {
  Ran();
  report_.peak_rss_bytes = 3 << 20;
  EXPECT_THAT(Complete(EndCause::kOutOfMemory).detail,
              AllOf(HasSubstr("out-of-memory killer at 3MiB"), HasSubstr("fewer workers")));
}

TEST_F(ExitReporterTest, TellsWhetherAStoppedTaskHadRun) {
  EXPECT_EQ(Complete(EndCause::kCancelledByClient).detail, "cancelled by a client before it ran");
  Ran();
  report_.wait_status = SIGTERM;
  EXPECT_THAT(Complete(EndCause::kTimeout).detail,
              AllOf(HasSubstr("longer than its timeout of 2s"),
                    HasSubstr("its process was killed by signal 15 (SIGTERM)")));
}

TEST_F(ExitReporterTest, NamesTheBoundThatWasExceededInTheQueue) {
  task_.finished_ns = 11'000'000'000;
  const ExitReport report = Complete(EndCause::kQueueExpired);
  EXPECT_THAT(report.detail, HasSubstr("queue timeout of 10s"));
  EXPECT_EQ(report.queue_time, absl::Seconds(10));
}

TEST_F(ExitReporterTest, PassesOnWhatOnlyTheCallerKnows) {
  EXPECT_THAT(Complete(EndCause::kDependencyFailed, "task 3 ended FAILED").detail,
              HasSubstr(": task 3 ended FAILED"));
  EXPECT_THAT(Complete(EndCause::kStartFailed, "fork: EAGAIN").detail, HasSubstr("fork: EAGAIN"));
  EXPECT_THAT(Complete(EndCause::kProtocolViolation, "outcome 77").detail,
              HasSubstr("broke the lane's protocol and was killed: outcome 77"));
}

TEST_F(ExitReporterTest, ShowsTheEndOfStandardErrorAsValidText) {
  Ran();
  auto& output = task_.EnsureDetail().output[1];
  output = std::make_unique<OutputBuffer>(1 << 20);
  output->Append(std::string(10'000, 'x') + "\xff last words\n");
  const std::string tail = Complete(EndCause::kWorkerDied).stderr_tail;
  EXPECT_THAT(tail, ::testing::EndsWith("\xef\xbf\xbd last words\n"));
  EXPECT_LT(tail.size(), 5'000u);
}

TEST_F(ExitReporterTest, EveryCauseHasASentence) {
  for (const bool ran : {false, true}) {
    if (ran) Ran();
    for (int cause = 1; cause <= static_cast<int>(EndCause::kInternalLimit); ++cause) {
      ExitReport report;
      CompleteReport(task_, static_cast<EndCause>(cause), {}, &report);
      EXPECT_GT(report.detail.size(), 10u) << cause;
    }
  }
}

TEST_F(ExitReporterTest, AWorkersEndNamesTheTaskItWasRunning) {
  FakeWorker worker(1, 2);
  pool::WorkerExit exit;
  exit.reason = pool::ExitReason::kCrashed;
  exit.wait_status = SIGSEGV;
  const ExitReport report = ReportWorkerExit("default", worker, exit, 17);
  EXPECT_EQ(report.cause, EndCause::kWorkerDied);
  EXPECT_THAT(report.detail, HasSubstr("worker default/1 generation 2 (pid 4711) was killed by "
                                       "signal 11 (SIGSEGV) while it ran task 17"));
}

}  // namespace
}  // namespace prefork::engine
