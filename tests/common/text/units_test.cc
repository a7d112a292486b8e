#include "common/text/units.h"

#include <cstdint>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace prefork::text {
namespace {

using ::testing::HasSubstr;

TEST(ParseBytes, UnderstandsWhatPeopleWrite) {
  struct Case {
    std::string_view text;
    uint64_t bytes;
  };
  for (const Case& each :
       {Case{"0", 0}, Case{"4096", 4096}, Case{"1k", 1024}, Case{"512M", 512 << 20},
        Case{"2GiB", uint64_t{2} << 30}, Case{"1.5G", uint64_t{3} << 29}, Case{"100kB", 100'000},
        Case{"3 MiB", 3 << 20}, Case{"7B", 7}, Case{"1TB", 1'000'000'000'000}, Case{" 8Ki ", 8192},
        Case{"18446744073709551615", UINT64_MAX}}) {
    const auto parsed = ParseBytes(each.text);
    ASSERT_TRUE(parsed.ok()) << each.text << ": " << parsed.status();
    EXPECT_EQ(*parsed, each.bytes) << each.text;
  }
}

TEST(ParseBytes, RefusesTheRestAndSaysHowToWriteIt) {
  for (const std::string_view text : {"", "M", "-1", "12X", "1e9", "1.2.3M", "512 M B", "16777216T",
                                      "18446744073709551616", "nan"}) {
    const auto parsed = ParseBytes(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(parsed.status().message(), HasSubstr("512M or 2GiB"));
  }
}

TEST(ParseDuration, UnderstandsWhatPeopleWrite) {
  struct Case {
    std::string_view text;
    absl::Duration duration;
  };
  for (const Case& each :
       {Case{"0", absl::ZeroDuration()}, Case{"30s", absl::Seconds(30)},
        Case{"250ms", absl::Milliseconds(250)}, Case{"1h30m", absl::Minutes(90)},
        Case{"1h 30m", absl::Minutes(90)}, Case{"1.5d", absl::Hours(36)},
        Case{"15us", absl::Microseconds(15)}, Case{"9ns", absl::Nanoseconds(9)},
        Case{"infinity", absl::InfiniteDuration()}, Case{"never", absl::InfiniteDuration()}}) {
    const auto parsed = ParseDuration(each.text);
    ASSERT_TRUE(parsed.ok()) << each.text << ": " << parsed.status();
    EXPECT_EQ(*parsed, each.duration) << each.text;
  }
}

TEST(ParseDuration, RefusesTheRestAndSaysHowToWriteIt) {
  for (const std::string_view text :
       {"", "30", "s", "-5s", "5 seconds", "1h30", "999999d999999d", "1..5s", "3 4s"}) {
    const auto parsed = ParseDuration(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(parsed.status().message(), HasSubstr("30s, 1h30m or infinity"));
  }
}

TEST(BytesToText, IsReadBackAsTheSameNumber) {
  EXPECT_EQ(BytesToText(512 << 20), "512MiB");
  EXPECT_EQ(BytesToText(1500), "1500");
  for (const uint64_t bytes :
       {uint64_t{0}, uint64_t{1}, uint64_t{1024}, uint64_t{1} << 41, UINT64_MAX}) {
    EXPECT_EQ(ParseBytes(BytesToText(bytes)).value(), bytes);
  }
}

TEST(DurationToText, IsReadBackAsTheSameDuration) {
  EXPECT_EQ(DurationToText(absl::Minutes(90)), "1h30m");
  EXPECT_EQ(DurationToText(absl::ZeroDuration()), "0s");
  for (const absl::Duration duration : {absl::Nanoseconds(1), absl::Milliseconds(1500),
                                        absl::Hours(49), absl::InfiniteDuration()}) {
    EXPECT_EQ(ParseDuration(DurationToText(duration)).value(), duration);
  }
}

}  // namespace
}  // namespace prefork::text
