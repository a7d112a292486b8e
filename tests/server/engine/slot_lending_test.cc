// Tasks that wait for tasks of their own, with workers that the test plays beside real processes.
#include "server/engine/slot_lending.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/os/fd.h"
#include "common/os/process_stats.h"
#include "gtest/gtest.h"
#include "tests/common/os/wait_until.h"
#include "tests/server/engine/engine_pass_bed.h"
#include "tests/server/engine/recording_sink.h"

namespace prefork::engine {
namespace {

// What SlotLending looks at in one go is over before this.
constexpr absl::Duration kNextLook = absl::Milliseconds(25);

// A child that sleeps, or one that works, and a child of its own that sleeps.
class Family {
 public:
  explicit Family(bool sleeps = true) {
    int ends[2];
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    const os::Fd reader(ends[0]);
    os::Fd writer(ends[1]);
    child_ = fork();
    if (child_ == 0) Live(sleeps, writer.get());
    writer.Reset();
    EXPECT_EQ(read(reader.get(), &below_, sizeof(below_)), sizeof(below_));
    const char wanted = sleeps ? 'S' : 'R';
    EXPECT_TRUE(os::WaitUntil([&] {
      const absl::StatusOr<os::ProcessStats> stats = os::ReadProcessStats(child_);
      return stats.ok() && stats->state == wanted;
    }));
  }
  ~Family() {
    kill(below_, SIGKILL);
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;
  pid_t child() const { return child_; }
  pid_t below() const { return below_; }

 private:
  [[noreturn]] static void Live(bool sleeps, int writer) {
    const pid_t below = fork();
    if (below == 0) {
      for (;;) pause();
    }
    if (write(writer, &below, sizeof(below)) != sizeof(below)) _exit(1);
    for (volatile bool working = true; working;) {
      if (sleeps) pause();
    }
    _exit(0);
  }

  pid_t child_ = 0;
  pid_t below_ = 0;
};

class SlotLendingTest : public EnginePassBed {
 protected:
  // A worker whose process is the child, running a task.
  FakeWorker& AddBusyWorker(const Family& family) {
    FakeWorker& worker = native().AddWorker();
    worker.process = family.child();
    parent_ = Submit();
    EXPECT_EQ(Claim(worker), parent_);
    return worker;
  }
  SessionId OpenSessionOf(pid_t pid) {
    SessionOptions options;
    options.caller.pid = pid;
    return OpenSession(&sink_, options);
  }
  // A task for the pool "native", which is full: it stays queued.
  void SubmitTo(SessionId session) {
    engine_->SubmitBatch(session, {Function("native")});
    Pass();
    Advance(kNextLook);
    Advance(kNextLook);
  }
  uint32_t lent() { return native().lent(); }

  RecordingSink sink_;
  TaskId parent_ = 0;
};

TEST_F(SlotLendingTest, AWaitingTaskLendsItsPlaceUntilItHasItsResult) {
  const Family family;
  FakeWorker& worker = AddBusyWorker(family);
  const SessionId session = OpenSessionOf(family.child());
  SubmitTo(session);
  ASSERT_EQ(lent(), 1U);
  FakeWorker& second = native().AddWorker();
  Pass();
  const TaskId inner = Claim(second);
  ASSERT_NE(inner, 0U);
  second.Finish(inner);
  engine_->SinkWritable(session);
  Advance(kNextLook);
  Advance(kNextLook);
  EXPECT_EQ(sink_.ends.size(), 1U);
  EXPECT_EQ(lent(), 0U);
  worker.Finish(parent_);
  Pass();
  EXPECT_EQ(Info(parent_).state, scheduler::TaskState::kSucceeded);
}

TEST_F(SlotLendingTest, ItLendsWhenAProcessBelowItSubmits) {
  const Family family;
  AddBusyWorker(family);
  SubmitTo(OpenSessionOf(family.below()));
  EXPECT_EQ(lent(), 1U);
}

TEST_F(SlotLendingTest, OneThatWorksLendsNothing) {
  const Family family(/*sleeps=*/false);
  AddBusyWorker(family);
  SubmitTo(OpenSessionOf(family.child()));
  EXPECT_EQ(lent(), 0U);
}

TEST_F(SlotLendingTest, NothingIsLentWhileAWorkerIsIdle) {
  const Family family;
  FakeWorker& worker = AddBusyWorker(family);
  FakeWorker& idle = native().AddWorker();
  engine_->SubmitBatch(OpenSessionOf(family.child()), {Function("native")});
  Pass();
  EXPECT_NE(Claim(idle), 0U);
  Advance(kNextLook);
  EXPECT_EQ(lent(), 0U);
  worker.Finish(parent_);
}

TEST_F(SlotLendingTest, ThePlaceComesBackWhenTheTaskEndsWithoutWaitingOn) {
  const Family family;
  FakeWorker& worker = AddBusyWorker(family);
  SubmitTo(OpenSessionOf(family.child()));
  ASSERT_EQ(lent(), 1U);
  worker.Finish(parent_);
  Pass();
  Advance(kNextLook);
  EXPECT_EQ(lent(), 0U);
}

TEST_F(SlotLendingTest, ThePlaceComesBackWhenTheWorkerDies) {
  const Family family;
  FakeWorker& worker = AddBusyWorker(family);
  SubmitTo(OpenSessionOf(family.child()));
  ASSERT_EQ(lent(), 1U);
  native().EndWorker(worker, Killed(SIGKILL, pool::ExitReason::kCrashed));
  Pass();
  Advance(kNextLook);
  EXPECT_EQ(lent(), 0U);
}

TEST_F(SlotLendingTest, AProcessThatRunsNoTaskHasNoPlaceToLend) {
  const Family worker;
  AddBusyWorker(worker);
  const Family stranger;
  SubmitTo(OpenSessionOf(stranger.child()));
  EXPECT_EQ(lent(), 0U);
}

}  // namespace
}  // namespace prefork::engine
