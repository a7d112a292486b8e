// A daemon that has no descriptors left for what its pool starts.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/os/fd.h"
#include "server/pool/worker_pool.h"
#include "tests/server/pool/pool_fault_bed.h"

namespace prefork::pool {
namespace {

using ::testing::HasSubstr;

class DescriptorShortageTest : public PoolFaultBed {};

// Leaves this process with `spare` free descriptors while it lives; at least two, as UBSan looks at
// memory through a pipe.
class ScarceDescriptors {
 public:
  explicit ScarceDescriptors(rlim_t spare) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const os::Fd next(dup(STDIN_FILENO));
    const rlimit scarce = {static_cast<rlim_t>(next.get()) + spare, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &scarce);
  }
  ~ScarceDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
};

TEST_F(DescriptorShortageTest, WithoutDescriptorsForAZygoteThePoolSaysSoAndTriesAgain) {
  {
    const ScarceDescriptors scarce(4);  // a zygote takes five
    StartPool(Spec("good", "good", 1));
    EXPECT_TRUE(pool->degraded());
    EXPECT_THAT(pool->degraded_reason(), HasSubstr("Too many open files"));
  }
  CureAndExpectFullPool(1);
}

TEST_F(DescriptorShortageTest, WithoutDescriptorsForWorkersThePoolSaysSoAndTriesAgain) {
  StartPool(Spec("good", "good", 1));
  ASSERT_TRUE(RunUntilReady(1));
  {
    const ScarceDescriptors scarce(4);  // a worker takes nine until it has its own
    pool->Resize(8);
    ASSERT_TRUE(AdvanceUntil(absl::Seconds(1), 10, [&] { return pool->degraded(); }));
    EXPECT_THAT(pool->degraded_reason(), HasSubstr("Too many open files"));
    EXPECT_EQ(owner.ready.size(), 1U);
  }
  CureAndExpectFullPool(8);
}

}  // namespace
}  // namespace prefork::pool
