#include "common/os/socket_path.h"

#include "gtest/gtest.h"

namespace prefork::os {
namespace {

TEST(DefaultSocketPath, IsTheSystemSocketForRoot) {
  EXPECT_EQ(DefaultSocketPath(0, "/run/user/0"), "/run/prefork/prefork.sock");
}

TEST(DefaultSocketPath, IsInTheRuntimeDirectoryForUsers) {
  EXPECT_EQ(DefaultSocketPath(1000, "/run/user/1000"), "/run/user/1000/prefork/prefork.sock");
}

TEST(DefaultSocketPath, FallsBackToADirectoryNamedByTheUser) {
  EXPECT_EQ(DefaultSocketPath(1000, nullptr), "/tmp/prefork-1000/prefork.sock");
  EXPECT_EQ(DefaultSocketPath(1000, ""), "/tmp/prefork-1000/prefork.sock");
  EXPECT_EQ(DefaultSocketPath(1000, "relative"), "/tmp/prefork-1000/prefork.sock");
}

}  // namespace
}  // namespace prefork::os
