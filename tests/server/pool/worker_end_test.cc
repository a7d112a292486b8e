#include "server/pool/worker_end.h"

#include <gmock/gmock.h>
#include <signal.h>

namespace prefork::pool {
namespace {

using ::testing::HasSubstr;

constexpr int Exited(int code) { return code << 8; }

class WorkerEndTest : public ::testing::Test {
 protected:
  WorkerExit Judge() { return end_.Judge(/*was_ready=*/true, /*dedicated=*/false, &oom_proof_); }

  OomProof oom_proof_;
  WorkerEnd end_;
};

TEST_F(WorkerEndTest, IsCompleteWhenStatusAndTreeAreKnownInAnyOrder) {
  EXPECT_FALSE(end_.complete());
  end_.NoteStatus(Exited(0), absl::Seconds(1), 1);
  EXPECT_TRUE(end_.status_settled());
  EXPECT_FALSE(end_.complete()) << "what it had started may live";
  end_.NoteTreeGone({});
  EXPECT_TRUE(end_.complete());

  WorkerEnd other;
  other.NoteTreeGone({});
  EXPECT_FALSE(other.complete()) << "how it ended may still be told";
  other.NoteStatusLost();
  EXPECT_TRUE(other.complete());
  EXPECT_FALSE(other.has_status());
}

TEST_F(WorkerEndTest, AStatusThatComesAfterItWasGivenUpCounts) {
  end_.NoteStatusLost();
  EXPECT_FALSE(Judge().wait_status.has_value());
  end_.NoteStatus(Exited(3), absl::ZeroDuration(), 0);
  EXPECT_EQ(Judge().wait_status, Exited(3));
}

TEST_F(WorkerEndTest, TheFirstReasonCountsAndAnOrderToDieMoreThanARequest) {
  EXPECT_EQ(end_.asked(), ExitReason::kNone);
  end_.Retire(ExitReason::kRecycled);
  EXPECT_EQ(end_.asked(), ExitReason::kRecycled);
  end_.Expect(ExitReason::kTaskStopped, "its task timed out");
  end_.Expect(ExitReason::kProtocolViolation, "nonsense");
  EXPECT_EQ(end_.asked(), ExitReason::kTaskStopped);
  end_.NoteStatus(SIGKILL, absl::ZeroDuration(), 0);
  const WorkerExit exit = Judge();
  EXPECT_EQ(exit.reason, ExitReason::kTaskStopped);
  EXPECT_THAT(exit.detail, HasSubstr("its task timed out"));
}

TEST_F(WorkerEndTest, TheVerdictHasTheCostAndNamesSurvivors) {
  end_.NoteStatus(Exited(7), absl::Seconds(2), 4096);
  end_.NoteTreeGone({11, 12});
  const WorkerExit exit = Judge();
  EXPECT_EQ(exit.reason, ExitReason::kCrashed);
  EXPECT_EQ(exit.cpu_time, absl::Seconds(2));
  EXPECT_EQ(exit.peak_rss_bytes, 4096u);
  EXPECT_THAT(exit.detail, HasSubstr("processes that could not be ended: 11 12"));
}

}  // namespace
}  // namespace prefork::pool
