#include "server/config/loader.h"

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

LoadOptions UserOptions() {
  LoadOptions options;
  options.uid = 1000;
  options.environment = {{"XDG_RUNTIME_DIR", "/run/user/1000"}};
  return options;
}

absl::StatusOr<LoadedConfig> Parse(const std::string& text,
                                   const LoadOptions& options = UserOptions()) {
  return ParseConfig({{"p.toml", text}}, options);
}

std::string ErrorsOf(const std::string& text, const LoadOptions& options = UserOptions()) {
  const absl::StatusOr<LoadedConfig> loaded = Parse(text, options);
  EXPECT_EQ(loaded.status().code(), absl::StatusCode::kInvalidArgument) << text;
  return std::string(loaded.status().message());
}

class Directory {
 public:
  Directory() {
    path_ = ::testing::TempDir() + "prefork_config_XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string Write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
    return file;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(LoadConfig, WorksWithoutAnyFile) {
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(UserOptions());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.daemon.socket, "/run/user/1000/prefork/prefork.sock");
  ASSERT_EQ(loaded->config.pools.size(), 1u);
  EXPECT_EQ(loaded->config.pools[0].name, "default");
  EXPECT_EQ(loaded->config.pools[0].runtime, pool::Runtime::kCommand);
  EXPECT_EQ(loaded->config.pools[0].size, 0u);
  EXPECT_TRUE(loaded->files.empty());
  EXPECT_TRUE(loaded->origins.empty());
}

TEST(LoadConfig, PutsTheSocketOfRootIntoRun) {
  LoadOptions options;
  options.system_directory = "/nonexistent";
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.daemon.socket, "/run/prefork/prefork.sock");
}

TEST(LoadConfig, PrefersFlagsThenEnvironmentThenDropInsThenFile) {
  const Directory directory;
  const std::string file =
      directory.Write("prefork.toml",
                      "[results]\nttl = \"1s\"\nmax_tasks = 1\n"
                      "[daemon]\nlog_level = \"debug\"\ndrain_timeout = \"1s\"\n");
  directory.Write("conf.d/20.toml", "results.max_tasks = 20\ndaemon.drain_timeout = \"20s\"\n");
  directory.Write(
      "conf.d/10.toml",
      "results.max_tasks = 10\nresults.ttl = \"10s\"\ndaemon.drain_timeout = \"10s\"\n");
  directory.Write("conf.d/ignored.toml.bak", "syntax error");
  LoadOptions options = UserOptions();
  options.file = file;
  options.environment["PREFORK_RESULTS_MAX_TASKS"] = "30";
  options.environment["PREFORK_DAEMON_DRAIN_TIMEOUT"] = "30s";
  options.overrides = {"results.max_tasks=40"};

  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.results.max_tasks, 40u);
  EXPECT_EQ(loaded->config.daemon.drain_timeout, absl::Seconds(30));
  EXPECT_EQ(loaded->config.results.ttl, absl::Seconds(10));
  EXPECT_EQ(loaded->config.daemon.log_level, LogLevel::kDebug);
  EXPECT_THAT(loaded->files, ElementsAre(file, directory.path() + "/conf.d/10.toml",
                                         directory.path() + "/conf.d/20.toml"));
  EXPECT_EQ(loaded->origins.at("results.max_tasks"), "--set");
  EXPECT_EQ(loaded->origins.at("daemon.drain_timeout"), "PREFORK_DAEMON_DRAIN_TIMEOUT");
  EXPECT_EQ(loaded->origins.at("results.ttl"), directory.path() + "/conf.d/10.toml:2:9");
  EXPECT_EQ(loaded->origins.at("daemon.log_level"), file + ":5:1");
}

TEST(LoadConfig, FindsTheFileOfTheUser) {
  const Directory directory;
  LoadOptions options = UserOptions();
  options.environment["XDG_CONFIG_HOME"] = directory.path();
  const std::string file = directory.Write("prefork/prefork.toml", "limits.pools = 7\n");
  absl::StatusOr<LoadedConfig> loaded = LoadConfig(options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.limits.pools, 7u);

  const std::string other = directory.Write("other/other.toml", "limits.pools = 8\n");
  options.environment["PREFORK_CONFIG"] = other;
  loaded = LoadConfig(options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.limits.pools, 8u);

  options.file = file;
  loaded = LoadConfig(options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.limits.pools, 7u);
}

TEST(LoadConfig, UsesTheDirectoriesOfAService) {
  const Directory directory;
  directory.Write("prefork.toml", "limits.pools = 9\n");
  LoadOptions options = UserOptions();
  options.environment["CONFIGURATION_DIRECTORY"] = directory.path() + ":/etc/other";
  options.environment["RUNTIME_DIRECTORY"] = "/run/prefork";
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.limits.pools, 9u);
  EXPECT_EQ(loaded->config.daemon.socket, "/run/prefork/prefork.sock");
}

TEST(LoadConfig, FailsWhenTheFileThatWasAskedForCantBeRead) {
  const Directory directory;
  LoadOptions options = UserOptions();
  options.file = directory.path() + "/missing.toml";
  EXPECT_EQ(LoadConfig(options).status().message(),
            options.file + ": can't be read: No such file or directory");
  options.file = directory.path();
  EXPECT_EQ(LoadConfig(options).status().message(),
            directory.path() + ": can't be read: Is a directory");
}

TEST(ParseConfig, ReportsAllErrorsAtOnceWithTheirPlaces) {
  LoadOptions options = UserOptions();
  options.environment["PREFORK_LIMITS_EVENTS"] = "few";
  options.environment["PREFORK_DAEMON_SOKCET"] = "/x";
  options.overrides = {"results.tll=1s", "nonsense"};
  EXPECT_EQ(
      ErrorsOf("[daemon]\nsokcet = \"/x\"\nidle_timeout = 5\n[pool.a]\nsise = 2\nsize = 9999\n",
               options),
      "p.toml:2:1: unknown key \"sokcet\" in [daemon]; did you mean \"socket\"?\n"
      "p.toml:5:1: unknown key \"sise\" in [pool.a]; did you mean \"size\"?\n"
      "PREFORK_DAEMON_SOKCET: there is no such key in [daemon]; did you mean "
      "PREFORK_DAEMON_SOCKET?\n"
      "--set: unknown key \"results.tll\"; did you mean results.ttl?\n"
      "--set \"nonsense\": write section.key=value or pool.NAME.key=value\n"
      "p.toml:3:1: daemon.idle_timeout must be a duration such as \"30s\", \"1h30m\" or "
      "\"infinity\", not 5\n"
      "PREFORK_LIMITS_EVENTS: limits.events must be a whole number, not \"few\"\n"
      "p.toml:6:1: pool.a.size must be from 0 to 4096, not 9999");
}

TEST(ParseConfig, NamesSyntaxErrorsByLineAndColumn) {
  EXPECT_THAT(ErrorsOf("[daemon]\nsocket = \n"), HasSubstr("p.toml:2:10: "));
  EXPECT_THAT(ErrorsOf("[daemon]\nsocket = \"a\"\nsocket = \"b\"\n"), HasSubstr("p.toml:3:"));
}

TEST(ParseConfig, SurvivesWhatTheParserAssertsNeverToSee) {
  EXPECT_THAT(ErrorsOf("[\n"), HasSubstr("p.toml:1:2: "));
  EXPECT_THAT(ErrorsOf("[\n[\n\n\n["), HasSubstr("p.toml:"));
  EXPECT_THAT(ErrorsOf("J\u01ab"), HasSubstr("p.toml:1:2: "));
}

TEST(ParseConfig, HelpsWithMisplacedKeysAndSections) {
  EXPECT_EQ(ErrorsOf("socket = \"/x\""),
            "p.toml:1:1: unknown key \"socket\"; did you mean \"daemon.socket\"?");
  EXPECT_EQ(ErrorsOf("[deamon]\n"),
            "p.toml:1:2: unknown section \"deamon\"; did you mean \"daemon\"?");
  EXPECT_EQ(ErrorsOf("[pool]\nsize = 3\n"),
            "p.toml:2:1: \"size\" belongs to a pool: put it under [pool.NAME]");
  EXPECT_EQ(ErrorsOf("daemon = 3\n"), "p.toml:1:1: \"daemon\" must be a table, [daemon]");
  EXPECT_THAT(ErrorsOf("[pool.Big]\n"), HasSubstr("\"Big\" is no pool name"));
}

TEST(ParseConfig, NamesValuesThatNoKeyCanHold) {
  EXPECT_THAT(ErrorsOf("results.max_tasks = 1.5"), HasSubstr("not a fraction"));
  EXPECT_THAT(ErrorsOf("results.max_tasks = true"), HasSubstr("not true or false"));
  EXPECT_THAT(ErrorsOf("daemon.allow_users = [1, 2]"), HasSubstr("not a list of something else"));
  EXPECT_THAT(ErrorsOf("results.ttl = 07:32:00"), HasSubstr("not a date or time"));
}

TEST(ParseConfig, BuildsPoolsOnTheirDefaults) {
  const absl::StatusOr<LoadedConfig> loaded = Parse(
      "[pool.numbers]\nruntime = \"native\"\nmodules = [\"/lib/a.so\"]\ntask_timeout = \"5s\"\n"
      "env = { OMP_NUM_THREADS = \"1\" }\n[pool.shell]\n[pool_defaults]\ntask_timeout = \"1m\"\n"
      "size = 3\n");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->config.pools.size(), 2u);
  const pool::PoolSpec& numbers = loaded->config.pools[0];
  EXPECT_EQ(numbers.name, "numbers");
  EXPECT_EQ(numbers.runtime, pool::Runtime::kNative);
  EXPECT_EQ(numbers.task_timeout, absl::Seconds(5));
  EXPECT_EQ(numbers.size, 3u);
  EXPECT_EQ(numbers.env.at("OMP_NUM_THREADS"), "1");
  const pool::PoolSpec& shell = loaded->config.pools[1];
  EXPECT_EQ(shell.name, "shell");
  EXPECT_EQ(shell.task_timeout, absl::Minutes(1));
}

TEST(ParseConfig, FindsPoolsByTheirVariables) {
  LoadOptions options = UserOptions();
  options.environment["PREFORK_POOL_MY_POOL_MAX_TASKS_PER_WORKER"] = "5";
  options.environment["PREFORK_POOL_EXTRA_SIZE"] = "2";
  options.environment["PREFORK_POOL_DEFAULTS_SIZE"] = "4";
  options.environment["PREFORK_SOCKET"] = "/for/the/client";
  options.environment["PREFORK_TASK_ID"] = "7";
  const absl::StatusOr<LoadedConfig> loaded = Parse("[pool.my-pool]\n", options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->config.pools.size(), 2u);
  EXPECT_EQ(loaded->config.pools[0].name, "extra");
  EXPECT_EQ(loaded->config.pools[0].size, 2u);
  EXPECT_EQ(loaded->config.pools[1].name, "my-pool");
  EXPECT_EQ(loaded->config.pools[1].max_tasks_per_worker, 5u);
  EXPECT_EQ(loaded->config.pools[1].size, 4u);
}

TEST(ParseConfig, SetsPoolsWithDotsInTheirNames) {
  LoadOptions options = UserOptions();
  options.overrides = {"pool.a.b.size=2", "pool.a.b.env=X=1,Y=2"};
  const absl::StatusOr<LoadedConfig> loaded = Parse("", options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->config.pools.size(), 1u);
  EXPECT_EQ(loaded->config.pools[0].name, "a.b");
  EXPECT_EQ(loaded->config.pools[0].size, 2u);
  EXPECT_EQ(loaded->config.pools[0].env.at("Y"), "2");
}

TEST(ParseConfig, ChecksWhatBelongsTogether) {
  EXPECT_EQ(ErrorsOf("tls.listen = \"localhost:1\""),
            "p.toml:1:5: tls.listen needs tls.certificate, tls.key and tls.client_ca");
  EXPECT_EQ(ErrorsOf("[pool.n]\nruntime = \"native\""),
            "p.toml:2:1: pool.n.runtime is \"native\", which needs modules");
  EXPECT_EQ(ErrorsOf("[pool.n]\nmodules = [\"/a.so\"]"),
            "p.toml:2:1: pool.n.modules needs the runtime \"native\"");
  EXPECT_TRUE(Parse("limits.inline_payload = \"30KiB\"", UserOptions()).ok());
  EXPECT_THAT(ErrorsOf("limits.inline_payload = \"31KiB\""),
              ::testing::HasSubstr("limits.inline_payload must be"))
      << "it would not fit into a lane";
  EXPECT_EQ(ErrorsOf("limits.segments = \"1M\""),
            "default: limits.warm_segments is larger than limits.segments");
}

}  // namespace
}  // namespace prefork::config
