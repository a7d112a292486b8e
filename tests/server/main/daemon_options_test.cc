#include "server/main/daemon_options.h"

#include "gmock/gmock.h"

namespace prefork::main {
namespace {

using ::testing::HasSubstr;

TEST(FindWorkerProgramTest, TheConfiguredOneIsUsedOrNamed) {
  EXPECT_EQ(FindWorkerProgram("/bin/sh", "/usr/bin/preforkd").value_or(""), "/bin/sh");
  const auto missing = FindWorkerProgram("/no/such/worker", "/usr/bin/preforkd");
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(missing.status().message(),
            "prefork-worker is not an executable file at /no/such/worker; set "
            "daemon.worker_program to it");
}

TEST(FindWorkerProgramTest, ElseTheNeighboursAreLookedAt) {
  EXPECT_THAT(std::string(FindWorkerProgram("", "/nowhere/bin/preforkd").status().message()),
              HasSubstr("/nowhere/bin/prefork-worker, "));
}

TEST(ToEngineOptionsTest, LimitsAreHandedOn) {
  config::Config config;
  config.limits.max_payload_bytes = 12345;
  config.results.max_tasks = 7;
  config.pools.resize(2);
  const engine::EngineOptions options = ToEngineOptions(config, "/w");
  EXPECT_EQ(options.max_payload_bytes, 12345);
  EXPECT_EQ(options.max_finished_tasks, 7);
  EXPECT_EQ(options.worker_program, "/w");
  EXPECT_EQ(options.pools.size(), 2);
}

TEST(EffectiveSizeTest, ZeroIsWhatTheMachineGives) {
  EXPECT_EQ(EffectiveSize(3), 3);
  EXPECT_GE(EffectiveSize(0), 1);
}

}  // namespace
}  // namespace prefork::main
