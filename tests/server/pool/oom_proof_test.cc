#include "server/pool/oom_proof.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace prefork::pool {
namespace {

class OomProofTest : public ::testing::Test {
 protected:
  OomProofTest() : root(std::filesystem::path(::testing::TempDir()) / "oom_proof_test") {
    std::filesystem::remove_all(root);
    paths.proc_self_cgroup = root / "self_cgroup";
    paths.cgroup_root = root / "cgroup";
    paths.vmstat = root / "vmstat";
  }
  ~OomProofTest() override { std::filesystem::remove_all(root); }

  void Write(const std::filesystem::path& path, const std::string& text) const {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }

  const std::filesystem::path root;
  OomProofPaths paths;
};

TEST_F(OomProofTest, ReadsTheSecondCgroupVersion) {
  Write("self_cgroup", "0::/daemon.service\n");
  Write("cgroup/daemon.service/memory.events", "low 0\nhigh 3\nmax 9\noom 2\noom_kill 2\n");
  OomProof proof(paths);
  EXPECT_FALSE(proof.TakeKill()) << "kills of before prove nothing";
  Write("cgroup/daemon.service/memory.events", "low 0\nhigh 3\nmax 9\noom 3\noom_kill 3\n");
  EXPECT_TRUE(proof.TakeKill());
  EXPECT_FALSE(proof.TakeKill()) << "one kill proves one death";
}

TEST_F(OomProofTest, ReadsTheFirstCgroupVersion) {
  Write("self_cgroup", "9:cpu,cpuacct:/a\n4:memory:/b\n");
  Write("cgroup/memory/b/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n");
  OomProof proof(paths);
  Write("cgroup/memory/b/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n");
  EXPECT_TRUE(proof.TakeKill());
  EXPECT_TRUE(proof.TakeKill());
  EXPECT_FALSE(proof.TakeKill());
}

TEST_F(OomProofTest, TakesTheMountedRootInsideANamespace) {
  Write("self_cgroup", "0::/outside/path\n");
  Write("cgroup/memory.events", "oom_kill 0\n");
  OomProof proof(paths);
  Write("cgroup/memory.events", "oom_kill 1\n");
  EXPECT_TRUE(proof.TakeKill());
}

TEST_F(OomProofTest, FallsBackToTheWholeSystem) {
  Write("vmstat", "pgfault 12\noom_kill 8\n");
  OomProof proof(paths);
  Write("vmstat", "pgfault 13\noom_kill 9\n");
  EXPECT_TRUE(proof.TakeKill());
}

TEST_F(OomProofTest, ACgroupCounterIsNotMixedWithTheSystems) {
  Write("self_cgroup", "0::/\n");
  Write("cgroup/memory.events", "oom_kill 1\n");
  Write("vmstat", "oom_kill 8\n");
  OomProof proof(paths);
  Write("vmstat", "oom_kill 9\n");
  EXPECT_FALSE(proof.TakeKill()) << "another cgroup's kill";
}

TEST_F(OomProofTest, WithoutCountersNothingIsProven) {
  OomProof proof(paths);
  EXPECT_FALSE(proof.TakeKill());
  Write("vmstat", "oom_kill many\n");
  EXPECT_FALSE(proof.TakeKill());
  Write("vmstat", "oom_kill 4\n");
  EXPECT_FALSE(proof.TakeKill()) << "the first value has nothing to be compared with";
}

}  // namespace
}  // namespace prefork::pool
