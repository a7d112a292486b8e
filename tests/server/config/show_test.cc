#include "server/config/show.h"

#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/text/views.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/config/schema.h"
#include "server/config/verbs.h"

namespace prefork::config {
namespace {

using ::testing::HasSubstr;

LoadOptions Nobody() {
  LoadOptions options;
  options.uid = 1000;
  options.environment["XDG_RUNTIME_DIR"] = "/run/user/1000";
  return options;
}

constexpr char kRichConfig[] =
    "[daemon]\nsocket = \"/x \\\"quoted\\\".sock\"\nsocket_mode = \"0660\"\nallow_users = "
    "[\"ada\"]\n"
    "idle_timeout = \"90s\"\n[pool_defaults]\nsize = 3\n"
    "[pool.\"a.b\"]\nruntime = \"native\"\nmodules = [\"/lib/a.so\"]\nenv = { A = \"1\" }\n"
    "max_worker_rss = \"1.5G\"\n[pool.c]\n";

TEST(FormatEffective, ReadsBackAsTheSameConfiguration) {
  const auto loaded = ParseConfig({{"rich.toml", kRichConfig}}, Nobody());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const std::string shown = FormatEffective(*loaded);
  const auto again = ParseConfig({{"shown.toml", shown}}, Nobody());
  ASSERT_TRUE(again.ok()) << again.status() << "\n" << shown;
  ASSERT_EQ(again->config.pools.size(), loaded->config.pools.size());
  for (const Section& section : Sections()) {
    for (const Key* key : KeysOf(section.name)) {
      for (size_t i = 0; i < loaded->config.pools.size(); ++i) {
        Config before = loaded->config;
        Config after = again->config;
        EXPECT_EQ(ToToml(key->rule.type, key->slot(before, before.pools[i])),
                  ToToml(key->rule.type, key->slot(after, after.pools[i])))
            << section.name << "." << key->name;
      }
    }
  }
}

TEST(FormatEffective, SaysWhereEachValueComesFrom) {
  LoadOptions options = Nobody();
  options.environment["PREFORK_RESULTS_TTL"] = "2h";
  options.overrides = {"pool.c.size=5"};
  const auto loaded = ParseConfig({{"rich.toml", kRichConfig}}, options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  std::string shown = FormatEffective(*loaded);
  while (absl::StrContains(shown, "  ")) {
    shown = absl::StrReplaceAll(shown, {{"  ", " "}});
  }
  EXPECT_THAT(shown, HasSubstr("# From rich.toml\n"));
  EXPECT_THAT(shown, HasSubstr("socket_mode = \"0660\" # rich.toml:3:1\n"));
  EXPECT_THAT(shown, HasSubstr("log_level = \"info\" # default\n"));
  EXPECT_THAT(shown, HasSubstr("ttl = \"2h\" # PREFORK_RESULTS_TTL\n"));
  EXPECT_THAT(shown, HasSubstr("[pool.\"a.b\"]\n"));
  EXPECT_THAT(shown, HasSubstr("size = 3 # pool_defaults\n"));
  EXPECT_THAT(shown, HasSubstr("size = 5 # --set\n"));
}

std::string ReadSource(const std::string& path) {
  std::ifstream file(absl::StrCat(PREFORK_SOURCE_DIR, "/", path));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ExampleFile, IsTheOneThatIsShipped) {
  EXPECT_EQ(ReadSource("deploy/prefork.toml"), FormatExample())
      << "run: prefork_config_docs example > deploy/prefork.toml";
}

TEST(ExampleFile, ShowsEveryKeyWithItsDefault) {
  const std::string example = ReadSource("deploy/prefork.toml");
  const auto loaded = ParseConfig({}, Nobody());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  Config defaults = loaded->config;
  defaults.daemon.socket.clear();
  for (const Section& section : Sections()) {
    for (const Key* key : KeysOf(section.name)) {
      EXPECT_THAT(example,
                  HasSubstr(absl::StrCat(
                      "\n#", text::ToAbsl(key->name), " = ",
                      ToToml(key->rule.type, key->slot(defaults, defaults.pools[0])), "\n")));
    }
  }
}

TEST(ExampleFile, LoadsWithAllCommentsRemoved) {
  std::string text;
  for (const absl::string_view line : absl::StrSplit(ReadSource("deploy/prefork.toml"), '\n')) {
    const bool is_key = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    absl::StrAppend(&text, is_key ? line.substr(1) : line, "\n");
  }
  const auto loaded = ParseConfig({{"example", text}}, Nobody());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_GT(loaded->origins.size(), 30u);
}

TEST(FormatManPage, NamesEveryKeyAndItsVariable) {
  const std::string page = absl::StrReplaceAll(FormatManPage("1.2.3"), {{"\\-", "-"}});
  for (const Section& section : Sections()) {
    for (const Key* key : KeysOf(section.name)) {
      EXPECT_THAT(page, HasSubstr(absl::StrCat(".BR ", text::ToAbsl(key->name), "\n")));
    }
  }
  EXPECT_THAT(page, HasSubstr("PREFORK_DAEMON_SOCKET"));
  EXPECT_THAT(page, HasSubstr("prefork 1.2.3"));
}

TEST(FormatJsonSchema, HasBalancedBracesAndEveryKey) {
  const std::string schema = FormatJsonSchema();
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < schema.size(); ++i) {
    if (schema[i] == '"' && schema[i - 1] != '\\') quoted = !quoted;
    if (quoted) continue;
    if (schema[i] == '{') ++depth;
    if (schema[i] == '}') --depth;
    ASSERT_GE(depth, 0);
  }
  EXPECT_EQ(depth, 0);
  EXPECT_FALSE(quoted);
  for (const Section& section : Sections()) {
    for (const Key* key : KeysOf(section.name)) {
      EXPECT_THAT(schema, HasSubstr(absl::StrCat(Quote(key->name), ": {")));
    }
  }
}

TEST(RunConfigVerb, ChecksAndSaysWhatItRead) {
  std::ostringstream out;
  std::ostringstream err;
  LoadOptions options = Nobody();
  EXPECT_EQ(RunConfigVerb(ConfigVerb::kCheck, options, out, err), 0);
  EXPECT_EQ(out.str(), "configuration is valid: no file, all defaults; 1 pool\n");
  EXPECT_EQ(err.str(), "");
}

TEST(RunConfigVerb, PutsErrorsOnTheOtherStream) {
  std::ostringstream out;
  std::ostringstream err;
  LoadOptions options = Nobody();
  options.overrides = {"daemon.socket=relative"};
  for (const ConfigVerb verb : {ConfigVerb::kCheck, ConfigVerb::kShow}) {
    err.str("");
    EXPECT_EQ(RunConfigVerb(verb, options, out, err), 1);
    EXPECT_EQ(err.str(), "--set: daemon.socket must be an absolute path, not \"relative\"\n");
  }
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace prefork::config
