#include "server/pool/runtime_command.h"

#include <gmock/gmock.h>

namespace prefork::pool {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(RuntimeCommandTest, RunsThePrograms) {
  PoolSpec spec;
  EXPECT_THAT(*ZygoteArgv(spec, "/usr/lib/prefork-worker"),
              ElementsAre("/usr/lib/prefork-worker", "--runtime", "command", "--pool", "default"));
}

TEST(RuntimeCommandTest, NamesTheModules) {
  PoolSpec spec;
  spec.runtime = Runtime::kNative;
  spec.modules = {"/a.so", "/b.so"};
  EXPECT_THAT(*ZygoteArgv(spec, "w"), ElementsAre("w", "--runtime", "native", "--pool", "default",
                                                  "--module", "/a.so", "--module", "/b.so"));
}

TEST(RuntimeCommandTest, APoolsOwnCommandIsTakenAsItIs) {
  PoolSpec spec;
  spec.runtime = Runtime::kPython;
  spec.zygote_command = {"venv/bin/python", "-m", "prefork.worker"};
  EXPECT_THAT(*ZygoteArgv(spec, "w"), ElementsAre("venv/bin/python", "-m", "prefork.worker"));
}

TEST(RuntimeCommandTest, SaysWhatIsMissing) {
  PoolSpec spec;
  spec.name = "numpy";
  EXPECT_THAT(std::string(ZygoteArgv(spec, "").status().message()),
              AllOf(HasSubstr("'numpy'"), HasSubstr("prefork-worker")));
}

TEST(RuntimeCommandTest, NamesTheInterpreterAndWhatItImports) {
  PoolSpec spec;
  spec.runtime = Runtime::kPython;
  spec.preload = {"numpy", "json"};
  EXPECT_THAT(*ZygoteArgv(spec, ""),
              ElementsAre("python3", "-c", HasSubstr("prefork.worker"), "--pool", "default",
                          "--preload", "numpy", "--preload", "json"));
  spec.interpreter = "/venv/bin/python";
  EXPECT_THAT(*ZygoteArgv(spec, ""), Contains("/venv/bin/python"));
}

TEST(RuntimeCommandTest, HoldsMathLibrariesToOneThread) {
  PoolSpec spec;
  const auto environment = ZygoteEnvironment(spec, {"HOME=/root", "OMP_NUM_THREADS=64", "odd"});
  EXPECT_THAT(environment, AllOf(Contains("HOME=/root"), Contains("OMP_NUM_THREADS=1"),
                                 Contains("OPENBLAS_NUM_THREADS=1"), Contains("MKL_NUM_THREADS=1"),
                                 Contains("NUMEXPR_NUM_THREADS=1"), Not(Contains("odd"))));
}

TEST(RuntimeCommandTest, ThePoolsEnvironmentWins) {
  PoolSpec spec;
  spec.env = {{"OMP_NUM_THREADS", "4"}, {"HOME", "/srv"}};
  const auto environment = ZygoteEnvironment(spec, {"HOME=/root"});
  EXPECT_THAT(environment, AllOf(Contains("HOME=/srv"), Contains("OMP_NUM_THREADS=4"),
                                 Not(Contains("HOME=/root")), Not(Contains("OMP_NUM_THREADS=1"))));
}

}  // namespace
}  // namespace prefork::pool
