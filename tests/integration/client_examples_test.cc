// The examples of the C++ client against a real daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/integration/cli_run.h"
#include "tests/integration/daemon_fixture.h"

namespace prefork::testing {
namespace {

using ::testing::HasSubstr;

TEST(ClientExamples, RunAndPrintWhatTheySay) {
  const auto daemon = Daemon::Start({.config = "[pool.default]\nruntime = \"command\"\nsize = 1\n" +
                                               NativePoolConfig("native", 2)});
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const std::map<std::string, std::string> env = {{"PREFORK_ADDRESS", (*daemon)->address()}};

  const CliRun::Result hello = CliRun({PREFORK_HELLO}, "", env).Finish();
  EXPECT_EQ(hello.code, 0) << hello.err;
  EXPECT_EQ(hello.out, "hello from a warm worker\n");

  const CliRun::Result sum =
      CliRun({PREFORK_SQUARE_SUM, "native", "1000000", "10000"}, "", env).Finish();
  EXPECT_EQ(sum.code, 0) << sum.err;
  EXPECT_THAT(sum.out, HasSubstr("chunks          100"));
  EXPECT_THAT(sum.out, HasSubstr("equal within rounding"));

  const CliRun::Result wrong = CliRun({PREFORK_SQUARE_SUM, "nosuch"}, "", env).Finish();
  EXPECT_EQ(wrong.code, 1);
  EXPECT_THAT(wrong.err, HasSubstr("nosuch"));
}

}  // namespace
}  // namespace prefork::testing
