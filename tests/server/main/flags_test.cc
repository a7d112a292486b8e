#include "server/main/flags.h"

#include <sstream>

#include "gmock/gmock.h"

namespace prefork::main {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FlagsTest : public ::testing::Test {
 protected:
  std::variant<Flags, int> Parse(std::vector<const char*> arguments) {
    arguments.insert(arguments.begin(), "preforkd");
    return ParseFlags(static_cast<int>(arguments.size()), arguments.data(), out_, err_);
  }
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(FlagsTest, ShortFlagsAreOverridesInTheirOrder) {
  const auto parsed = Parse({"--config", "/c.toml", "--set", "pool.default.size=4", "--socket",
                             "/s", "--idle-timeout", "10m", "--log-level", "debug"});
  const Flags& flags = std::get<Flags>(parsed);
  EXPECT_EQ(flags.config_file, "/c.toml");
  EXPECT_THAT(flags.overrides,
              ::testing::UnorderedElementsAre("pool.default.size=4", "daemon.socket=/s",
                                              "daemon.idle_timeout=10m", "daemon.log_level=debug"));
  EXPECT_FALSE(flags.verb.has_value());
}

TEST_F(FlagsTest, VerbsAreExclusive) {
  EXPECT_EQ(std::get<Flags>(Parse({"--check-config"})).verb, config::ConfigVerb::kCheck);
  EXPECT_EQ(std::get<Flags>(Parse({"--show-config"})).verb, config::ConfigVerb::kShow);
  EXPECT_EQ(std::get<Flags>(Parse({"--config-schema"})).verb, config::ConfigVerb::kSchema);
  EXPECT_EQ(std::get<int>(Parse({"--check-config", "--show-config"})), 2);
}

TEST_F(FlagsTest, HelpAndVersionGoToStdoutAndAreNoFailure) {
  EXPECT_EQ(std::get<int>(Parse({"--version"})), 0);
  EXPECT_EQ(out_.str(), std::string("preforkd ") + PREFORK_VERSION + "\n");
  EXPECT_EQ(std::get<int>(Parse({"--help"})), 0);
  EXPECT_THAT(out_.str(), HasSubstr("--idle-timeout"));
  EXPECT_EQ(err_.str(), "");
}

TEST_F(FlagsTest, AnUnknownFlagIsAUsageErrorOnStderr) {
  EXPECT_EQ(std::get<int>(Parse({"--sokcet", "/s"})), 2);
  EXPECT_EQ(out_.str(), "");
  EXPECT_THAT(err_.str(), HasSubstr("--sokcet"));
}

}  // namespace
}  // namespace prefork::main
