#include "common/text/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace prefork::text {
namespace {

TEST(Utf8Test, WellFormedTextIsValidAndUnchanged) {
  for (const char* text : {"", "plain", "gr\xc3\xbc\xc3\x9f", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                           "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsValidUtf8(text)) << text;
    EXPECT_EQ(CleanUtf8(text), text);
  }
  EXPECT_TRUE(IsValidUtf8(std::string_view("\0", 1)));
}

TEST(Utf8Test, MalformedBytesAreInvalidAndReplaced) {
  const struct {
    std::string_view text;
    std::string_view clean;
  } cases[] = {
      {"a\xff"
       "b",
       "a\xef\xbf\xbd"
       "b"},
      {"\x80", "\xef\xbf\xbd"},                                  // a lone continuation
      {"\xc3", "\xef\xbf\xbd"},                                  // cut off
      {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                  // overlong
      {"\xe0\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},  // overlong
      {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},  // a surrogate
      {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},  // above U+10FFFF
  };
  for (const auto& test : cases) {
    EXPECT_FALSE(IsValidUtf8(test.text));
    EXPECT_EQ(CleanUtf8(test.text), test.clean);
    EXPECT_TRUE(IsValidUtf8(CleanUtf8(test.text)));
  }
}

TEST(Utf8Test, TextIsCutAtACharacterBorder) {
  EXPECT_EQ(CleanUtf8("abc", 2), "ab");
  EXPECT_EQ(CleanUtf8("a\xe2\x82\xac", 3), "a");
  EXPECT_EQ(CleanUtf8("a\xe2\x82\xac", 4), "a\xe2\x82\xac");
  EXPECT_EQ(CleanUtf8("\xff", 2), "");
}

}  // namespace
}  // namespace prefork::text
