// The private daemon that the first client starts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/integration/cli_run.h"
#include "tests/integration/daemon_fixture.h"
#include "tests/integration/other_users.h"

namespace prefork::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class PrivateDaemonTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string closed = ClosedDirectoryAbove(DaemonProgram());
    if (geteuid() == 0 && !closed.empty()) {
      GTEST_SKIP() << closed << " is closed to the user that this test becomes";
    }
    std::string pattern = ::testing::TempDir() + "preforkXXXXXX";
    directory_ = mkdtemp(pattern.data());
    env_ = {{"HOME", directory_},
            {"XDG_CONFIG_HOME", directory_ + "/config"},
            {"XDG_RUNTIME_DIR", directory_},
            {"XDG_STATE_HOME", directory_ + "/state"},
            {"PREFORK_DAEMON", DaemonProgram()},
            {"PREFORK_ADDRESS", ""}};
    if (geteuid() == 0) {
      ASSERT_EQ(chown(directory_.c_str(), kNobody, kNobody), 0);
    }
  }
  void TearDown() override {
    if (directory_.empty()) return;
    Run({"shutdown", "--now"});
    fs::remove_all(directory_);
  }
  // As somebody who is not root: root's daemon is the system's.
  std::vector<std::string> Arguments(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), CliProgram());
    if (geteuid() == 0) {
      const std::string id = std::to_string(kNobody);
      arguments.insert(arguments.begin(),
                       {"setpriv", "--reuid", id, "--regid", id, "--clear-groups"});
    }
    return arguments;
  }
  CliRun::Result Run(std::vector<std::string> arguments) {
    return CliRun(Arguments(std::move(arguments)), "", env_).Finish();
  }

  static constexpr unsigned kNobody = 65534;
  std::string directory_;
  std::map<std::string, std::string> env_;
};

TEST_F(PrivateDaemonTest, IsStartedOnceHoweverManyClientsComeAtOnce) {
  constexpr int kClients = 8;
  std::vector<std::unique_ptr<CliRun>> runs;
  runs.reserve(kClients);
  for (int i = 0; i < kClients; ++i) {
    runs.push_back(std::make_unique<CliRun>(Arguments({"run", "-C", "/", "echo", "ok"}), "", env_));
  }
  for (auto& run : runs) {
    const CliRun::Result result = run->Finish();
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out, "ok\n");
  }
  EXPECT_TRUE(fs::exists(directory_ + "/state/prefork/preforkd.log"));
}

TEST_F(PrivateDaemonTest, IsNotStartedByVerbsThatOnlyLook) {
  const CliRun::Result result = Run({"status"});
  EXPECT_EQ(result.code, 3);
  EXPECT_FALSE(fs::exists(directory_ + "/prefork/prefork.sock"));
}

TEST_F(PrivateDaemonTest, SaysWhyWhenItDoesNotComeUp) {
  env_["PREFORK_DAEMON"] = "/bin/false";
  const CliRun::Result result = Run({"run", "true"});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("exit code 1"));
  EXPECT_THAT(result.err, HasSubstr("preforkd.log"));
}

}  // namespace
}  // namespace prefork::testing
