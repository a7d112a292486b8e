#include "server/pool/death_tally.h"

#include <gmock/gmock.h>

namespace prefork::pool {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Kind = DeathTally::Kind;

TEST(DeathTallyTest, DegradesAtTheFifthFailureInARowAndQuotesTheLast) {
  DeathTally tally(1);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(tally.Failed(Kind::kStart, "early"));
  EXPECT_EQ(tally.reason(), "");
  EXPECT_TRUE(tally.Failed(Kind::kStart, "exited with code 3"));
  EXPECT_TRUE(tally.degraded());
  EXPECT_THAT(tally.reason(),
              AllOf(HasSubstr("5 starts of workers in a row"), HasSubstr("exited with code 3")));
}

TEST(DeathTallyTest, TheThresholdGrowsWithThePool) {
  DeathTally tally(50);
  for (int i = 0; i < 49; ++i) tally.Failed(Kind::kStart, "x");
  EXPECT_FALSE(tally.degraded());
  EXPECT_TRUE(tally.Failed(Kind::kStart, "x"));
}

TEST(DeathTallyTest, ASuccessInBetweenStartsTheCountAgain) {
  DeathTally tally(1);
  for (int i = 0; i < 100; ++i) {
    tally.Failed(Kind::kStart, "x");
    if (i % 4 == 3) tally.Ready();
  }
  EXPECT_FALSE(tally.degraded());
}

TEST(DeathTallyTest, AWorkerThatIsReadyCuresFailedStarts) {
  DeathTally tally(1);
  for (int i = 0; i < 7; ++i) tally.Failed(Kind::kStart, "x");
  EXPECT_TRUE(tally.Ready());
  EXPECT_FALSE(tally.degraded());
  EXPECT_FALSE(tally.Ready()) << "nothing was left to cure";
}

TEST(DeathTallyTest, OnlyAProvenWorkerCuresYoungDeaths) {
  DeathTally tally(1);
  for (int i = 0; i < 7; ++i) tally.Failed(Kind::kYoungDeath, "killed by signal 11 (SIGSEGV)");
  EXPECT_FALSE(tally.Ready());
  EXPECT_TRUE(tally.degraded());
  EXPECT_THAT(tally.reason(), HasSubstr("died right after they were ready"));
  EXPECT_TRUE(tally.Proven());
  EXPECT_FALSE(tally.degraded());
}

TEST(DeathTallyTest, TellsWhenTheReasonChanges) {
  DeathTally tally(1);
  for (int i = 0; i < 5; ++i) tally.Failed(Kind::kStart, "x");
  EXPECT_FALSE(tally.Failed(Kind::kStart, "x"));
  EXPECT_TRUE(tally.Failed(Kind::kStart, "y"));
}

}  // namespace
}  // namespace prefork::pool
