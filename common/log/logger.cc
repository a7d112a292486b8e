#include "common/log/logger.h"

#include <unistd.h>

#include <cerrno>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/text/utf8.h"

namespace prefork::log {
namespace {

// What the journal and pipes (PIPE_BUF) take in one piece.
constexpr size_t kMaxTextBytes = 4000;

const char* LevelName(Level level) {
  switch (level) {
    case Level::kError:
      return "error";
    case Level::kWarning:
      return "warning";
    case Level::kNotice:
      return "notice";
    case Level::kInfo:
      return "info";
    case Level::kDebug:
      return "debug";
  }
  return "?";
}

void AppendEscaped(std::string_view text, std::string* out) {
  for (const char c : text) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppend(out, "\\x", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad2));
    } else {
      out->push_back(c);
    }
  }
}

}  // namespace

std::string FormatLine(Format format, Level level, std::string_view text, absl::Time now,
                       absl::TimeZone zone) {
  std::string line;
  if (format == Format::kJournal) {
    line = absl::StrCat("<", static_cast<int>(level), ">");
  } else {
    line = absl::StrCat(absl::FormatTime("%H:%M:%E3S", now, zone), " ", LevelName(level), ": ");
  }
  AppendEscaped(text::CleanUtf8(text, kMaxTextBytes), &line);
  line.push_back('\n');
  return line;
}

void Logger::Write(Level level, std::string_view text) {
  if (!Enabled(level)) return;
  const std::string line = FormatLine(format_, level, text, absl::Now(), absl::LocalTimeZone());
  ssize_t written;
  do {
    written = write(fd_, line.data(), line.size());
  } while (written < 0 && errno == EINTR);
}

Format Logger::FormatFor(int fd) { return isatty(fd) == 1 ? Format::kHuman : Format::kJournal; }

}  // namespace prefork::log
