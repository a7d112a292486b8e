#include "server/config/value.h"

#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

RawValue Text(std::string text) { return {.data = std::move(text), .plain_text = false}; }
RawValue Plain(std::string text) { return {.data = std::move(text), .plain_text = true}; }
RawValue Number(int64_t number) { return {.data = number, .plain_text = false}; }

TEST(Assign, ReadsCounts) {
  uint32_t count = 7;
  const ValueRule rule{ValueType::kCount, 1, 100};
  EXPECT_TRUE(Assign(rule, Number(42), &count).ok());
  EXPECT_EQ(count, 42u);
  EXPECT_TRUE(Assign(rule, Plain("43"), &count).ok());
  EXPECT_EQ(count, 43u);
}

TEST(Assign, RefusesCountsAndLeavesTheSlotAlone) {
  uint32_t count = 7;
  const ValueRule rule{ValueType::kCount, 1, 100};
  EXPECT_EQ(Assign(rule, Text("42"), &count).message(), "must be a whole number, not \"42\"");
  EXPECT_EQ(Assign(rule, Number(101), &count).message(), "must be from 1 to 100, not 101");
  EXPECT_EQ(Assign(rule, Number(-1), &count).message(), "must be a whole number, not -1");
  EXPECT_EQ(Assign(rule, Plain("many"), &count).message(), "must be a whole number, not \"many\"");
  EXPECT_EQ(count, 7u);
}

TEST(Assign, ReadsSizesInHumanUnits) {
  uint64_t bytes = 0;
  const ValueRule rule{ValueType::kBytes, 1024, uint64_t{1} << 30};
  EXPECT_TRUE(Assign(rule, Text("512M"), &bytes).ok());
  EXPECT_EQ(bytes, uint64_t{512} << 20);
  EXPECT_TRUE(Assign(rule, Number(4096), &bytes).ok());
  EXPECT_EQ(bytes, 4096u);
  EXPECT_EQ(Assign(rule, Text("2GiB"), &bytes).message(), "must be from 1KiB to 1GiB, not 2GiB");
  EXPECT_EQ(Assign(rule, Text("2 bananas"), &bytes).message(),
            "must be a size such as \"512M\" or \"2GiB\", not \"2 bananas\"");
}

TEST(Assign, ReadsDurationsInHumanUnits) {
  absl::Duration duration;
  const ValueRule rule{ValueType::kDuration, 1'000'000'000};
  EXPECT_TRUE(Assign(rule, Text("1h30m"), &duration).ok());
  EXPECT_EQ(duration, absl::Minutes(90));
  EXPECT_TRUE(Assign(rule, Text("infinity"), &duration).ok());
  EXPECT_EQ(duration, absl::InfiniteDuration());
  EXPECT_EQ(Assign(rule, Text("10ms"), &duration).message(), "must be at least 1s, not 10ms");
  EXPECT_THAT(std::string(Assign(rule, Number(30), &duration).message()),
              HasSubstr("must be a duration such as \"30s\""));
}

TEST(Assign, RefusesEndlessDurationsWhereThereIsAMaximum) {
  absl::Duration duration;
  const ValueRule rule{ValueType::kDuration, 0, 3'600'000'000'000};
  EXPECT_EQ(Assign(rule, Text("infinity"), &duration).message(), "must end: at most 1h");
}

TEST(Assign, ReadsFileModesAsOctal) {
  uint32_t mode = 0;
  const ValueRule rule{ValueType::kFileMode, 0, 0777};
  EXPECT_TRUE(Assign(rule, Text("0660"), &mode).ok());
  EXPECT_EQ(mode, 0660u);
  EXPECT_TRUE(Assign(rule, Number(0600), &mode).ok());
  EXPECT_EQ(mode, 0600u);
  EXPECT_EQ(Assign(rule, Text("7777"), &mode).message(), "must be from 0000 to 0777, not 7777");
  EXPECT_THAT(std::string(Assign(rule, Text("rw"), &mode).message()), HasSubstr("octal file mode"));
}

TEST(Assign, ReadsPathsOnlyWhenAbsolute) {
  std::string path = "/before";
  const ValueRule rule{ValueType::kPath};
  EXPECT_TRUE(Assign(rule, Text("/run/x.sock"), &path).ok());
  EXPECT_EQ(path, "/run/x.sock");
  EXPECT_EQ(Assign(rule, Text("x.sock"), &path).message(),
            "must be an absolute path, not \"x.sock\"");
  EXPECT_EQ(Assign(rule, Text(std::string("/a\0b", 4)), &path).message(),
            "must be UTF-8 text without NUL bytes");
  EXPECT_EQ(path, "/run/x.sock");
}

TEST(Assign, ReadsListsAndSplitsPlainTextAtCommas) {
  std::vector<std::string> list;
  const ValueRule rule{ValueType::kTextList};
  EXPECT_TRUE(Assign(rule, {.data = std::vector<std::string>{"a", "b"}}, &list).ok());
  EXPECT_THAT(list, ElementsAre("a", "b"));
  EXPECT_TRUE(Assign(rule, Plain("x, y,"), &list).ok());
  EXPECT_THAT(list, ElementsAre("x", "y"));
  EXPECT_EQ(Assign(rule, Text("a"), &list).message(), "must be a list of strings, not \"a\"");
}

TEST(Assign, ReadsMapsAndSplitsPlainTextAtCommas) {
  std::map<std::string, std::string> map;
  const ValueRule rule{ValueType::kTextMap};
  EXPECT_TRUE(Assign(rule, Plain("A=1,B=x=y"), &map).ok());
  EXPECT_THAT(map, ElementsAre(Pair("A", "1"), Pair("B", "x=y")));
  EXPECT_THAT(std::string(Assign(rule, Plain("A"), &map).message()), HasSubstr("table of strings"));
  EXPECT_THAT(std::string(Assign(rule, Plain("=1"), &map).message()),
              HasSubstr("has the name \"\""));
}

TEST(Assign, SuggestsTheNearestChoice) {
  pool::Runtime runtime = pool::Runtime::kCommand;
  EXPECT_TRUE(Assign({ValueType::kRuntime}, Text("native"), &runtime).ok());
  EXPECT_EQ(runtime, pool::Runtime::kNative);
  EXPECT_EQ(Assign({ValueType::kRuntime}, Text("nativ"), &runtime).message(),
            "must be one of command, native, python, not \"nativ\"; did you mean \"native\"?");
}

TEST(Quote, EscapesWhatTomlAndJsonForbid) {
  EXPECT_EQ(Quote("a\"b\\c\n"), "\"a\\\"b\\\\c\\u000a\"");
}

}  // namespace
}  // namespace prefork::config
