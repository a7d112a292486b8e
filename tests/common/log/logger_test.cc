#include "common/log/logger.h"

#include <unistd.h>

#include <string>

#include "common/os/pipe.h"
#include "gtest/gtest.h"

namespace prefork::log {
namespace {

TEST(FormatLineTest, TheJournalGetsThePriorityTheTerminalTheTime) {
  const absl::Time time = absl::FromUnixMillis(3'723'004);
  EXPECT_EQ(FormatLine(Format::kJournal, Level::kWarning, "text", time, absl::UTCTimeZone()),
            "<4>text\n");
  EXPECT_EQ(FormatLine(Format::kHuman, Level::kError, "text", time, absl::UTCTimeZone()),
            "01:02:03.004 error: text\n");
}

TEST(FormatLineTest, NoTextCanForgeALineOrSteerTheTerminal) {
  EXPECT_EQ(FormatLine(Format::kJournal, Level::kInfo, "a\n<0>b\x1b[2J", absl::UnixEpoch(),
                       absl::UTCTimeZone()),
            "<6>a\\x0a<0>b\\x1b[2J\n");
}

TEST(LoggerTest, WritesWhatIsImportantEnough) {
  auto pipe = os::CreatePipe();
  ASSERT_TRUE(pipe.ok());
  Logger logger(pipe->write_end.get(), Format::kJournal, Level::kNotice);
  logger.Info("dropped");
  logger.Notice("kept");
  logger.set_least(Level::kDebug);
  logger.Debug("kept too");
  pipe->write_end.Reset();
  char text[128];
  const ssize_t size = read(pipe->read_end.get(), text, sizeof(text));
  EXPECT_EQ(std::string(text, size), "<5>kept\n<7>kept too\n");
}

}  // namespace
}  // namespace prefork::log
