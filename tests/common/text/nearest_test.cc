#include "common/text/nearest.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace prefork::text {
namespace {

const std::vector<std::string>& Words() {
  static const auto* const kWords = new std::vector<std::string>{"size", "modules", "task_timeout"};
  return *kWords;
}

TEST(Nearest, FindsTheWordThatWasMeant) {
  EXPECT_EQ(Nearest("sise", Words()), "size");
  EXPECT_EQ(Nearest("siez", Words()), "size");
  EXPECT_EQ(Nearest("module", Words()), "modules");
  EXPECT_EQ(Nearest("timeout", Words()), "");
  EXPECT_EQ(Nearest("task_time_out", Words()), "task_timeout");
}

TEST(Nearest, SuggestsNothingForAnotherWord) {
  EXPECT_EQ(Nearest("colour", Words()), "");
  EXPECT_EQ(Nearest("", {}), "");
  EXPECT_EQ(Nearest(std::string(1 << 20, 'x'), Words()), "");
}

}  // namespace
}  // namespace prefork::text
