#include "common/os/fork_count.h"

#include <sys/wait.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace prefork::os {
namespace {

TEST(ForkCountTest, AForkIsCountedOnBothSides) {
  const ForkCount before = CountForks();
  EXPECT_EQ(CountForks(), before);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const ForkCount mine = CountForks();
    _exit(mine.as_child == before.as_child + 1 && mine.as_parent == before.as_parent ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(CountForks().as_parent, before.as_parent + 1);
  EXPECT_EQ(CountForks().as_child, before.as_child);
}

}  // namespace
}  // namespace prefork::os
