// The CLI's small parts: table, signal names, map items, progress, completions, man page.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "client/cli/app.h"
#include "client/cli/command_tree.h"
#include "client/cli/map_items.h"
#include "client/cli/progress_line.h"
#include "client/cli/signals.h"
#include "client/cli/table.h"

namespace prefork::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Table, AlignsColumnsAndLeavesNoTrailingBlanks) {
  Table table({{"ID", true}, {"STATE"}, {"NOTE"}});
  table.AddRow({"7", "running", ""});
  table.AddRow({"1234", "failed", "line\nbreak"});
  EXPECT_EQ(table.ToText(Style(false)),
            "  ID  STATE    NOTE\n"
            "   7  running\n"
            "1234  failed   line break\n");
}

TEST(Table, CountsCharactersNotBytesAndKeepsColourOutOfTheWidth) {
  Table table({{"A"}, {"B"}});
  table.AddRow({"\u00e4\u00e4", "x"});
  table.AddRow({{"red", Color::kRed}, "y"});
  const std::string text = table.ToText(Style(true));
  EXPECT_THAT(text, HasSubstr("\u00e4\u00e4   x\n"));
  EXPECT_THAT(text, HasSubstr("\x1b[31mred\x1b[0m  y\n"));
}

TEST(ParseSignal, TakesEverySpelling) {
  for (const char* text : {"TERM", "SIGTERM", "term", "sigterm", "15"}) {
    EXPECT_EQ(*ParseSignal(text), 15) << text;
  }
  EXPECT_EQ(*ParseSignal("kill"), 9);
}

TEST(ParseSignal, SaysWhatWasMeant) {
  EXPECT_THAT(std::string(ParseSignal("TREM").status().message()),
              HasSubstr("did you mean 'TERM'?"));
  EXPECT_THAT(std::string(ParseSignal("99").status().message()), HasSubstr("they are 1 to"));
  EXPECT_FALSE(ParseSignal("").ok());
  EXPECT_FALSE(ParseSignal("0").ok());
}

TEST(MapItems, ComeFromTheWordsOrTheInput) {
  std::istringstream input("a\nb c\n");
  auto parsed = ParseMapItems({"gzip", "{}"}, false, false, input);
  ASSERT_TRUE(parsed.ok());
  EXPECT_THAT(parsed->items, ElementsAre("a", "b c"));
  parsed = ParseMapItems({"gzip", ":::", "x", "y"}, false, false, input);
  EXPECT_THAT(parsed->command, ElementsAre("gzip"));
  EXPECT_THAT(parsed->items, ElementsAre("x", "y"));
  std::istringstream zeros(std::string("a\nb\0c\0", 6));
  parsed = ParseMapItems({}, true, true, zeros);
  EXPECT_THAT(parsed->items, ElementsAre("a\nb", "c"));
}

TEST(MapItems, NeedExactlyOneKindOfWork) {
  std::istringstream input;
  EXPECT_THAT(std::string(ParseMapItems({}, false, false, input).status().message()),
              HasSubstr("map what?"));
  EXPECT_THAT(std::string(ParseMapItems({"x"}, true, false, input).status().message()),
              HasSubstr("not both"));
}

TEST(MapItems, FillTheTemplateOrFollowIt) {
  EXPECT_THAT(Expand({"cp", "{}", "{}.bak"}, "f"), ElementsAre("cp", "f", "f.bak"));
  EXPECT_THAT(Expand({"gzip", "-9"}, "f"), ElementsAre("gzip", "-9", "f"));
}

TEST(Progress, ShowsCountsRateAndTheRest) {
  const std::string text =
      ProgressText({.total = 200, .done = 50, .failed = 2}, absl::Seconds(10), "p: 2 busy", 200);
  EXPECT_THAT(text, HasSubstr("50/200  25% 5/s ETA 30.0s 2 failed | p: 2 busy"));
  EXPECT_EQ(ProgressText({.total = 200}, absl::Seconds(1), "", 20).size(), 20U);
  EXPECT_THAT(ProgressText({}, absl::ZeroDuration(), "", 200), HasSubstr("100%"));
}

class TreeTest : public ::testing::Test {
 protected:
  Context context_;
  const std::unique_ptr<CLI::App> app_ = MakeApp(context_);
  const std::vector<VerbInfo> tree_ = ReadTree(*app_);
};

TEST_F(TreeTest, HoldsEveryVerbAndHidesTheHidden) {
  std::vector<std::string> verbs = tree_[0].children;
  EXPECT_THAT(
      verbs,
      ::testing::IsSupersetOf(
          {"run",    "submit", "call",   "map",    "wait",       "result",  "logs",     "list",
           "show",   "cancel", "kill",   "retry",  "rm",         "status",  "top",      "workers",
           "pools",  "pool",   "scale",  "pause",  "resume",     "drain",   "reload",   "functions",
           "events", "ping",   "doctor", "config", "completion", "version", "shutdown", "daemon"}));
  EXPECT_THAT(verbs, Not(::testing::Contains("man-page")));
}

TEST_F(TreeTest, EveryVerbAndOptionIsExplained) {
  for (const VerbInfo& verb : tree_) {
    EXPECT_FALSE(verb.help.empty()) << (verb.path.empty() ? "" : verb.path.back());
    for (const OptionInfo& option : verb.options) {
      EXPECT_FALSE(option.help.empty()) << option.names[0];
    }
  }
}

TEST_F(TreeTest, ScriptsAndManPageNameEveryVerbAndLongOption) {
  const std::string man = ManPage(tree_);
  for (const std::string& script :
       {BashCompletion(tree_), ZshCompletion(tree_), FishCompletion(tree_)}) {
    for (const VerbInfo& verb : tree_) {
      if (!verb.path.empty()) {
        EXPECT_THAT(script, HasSubstr(verb.path.back()));
      }
    }
  }
  for (const VerbInfo& verb : tree_) {
    for (const OptionInfo& option : verb.options) {
      std::string name = option.names.back();
      for (size_t at = 0; (at = name.find('-', at)) != std::string::npos; at += 2) {
        name.insert(at, "\\");
      }
      EXPECT_THAT(man, HasSubstr(name));
    }
  }
}

}  // namespace
}  // namespace prefork::cli
