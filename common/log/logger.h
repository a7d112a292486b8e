#ifndef PREFORK_COMMON_LOG_LOGGER_H_
#define PREFORK_COMMON_LOG_LOGGER_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace prefork::log {

// Values are those of syslog(3).
enum class Level : uint8_t { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6, kDebug = 7 };

enum class Format : uint8_t {
  kJournal,  // "<4>text": the service manager adds the time and keeps the priority
  kHuman,    // "16:02:11.482 warning: text"
};

// Writes lines to a descriptor, each with one write(2), so that lines of several threads and processes
// do not mix. Thread-safe. A line that can't be written is dropped: there is nobody to tell.
class Logger {
 public:
  // `fd` is not owned. Lines less important than `least` are dropped.
  Logger(int fd, Format format, Level least) : fd_(fd), format_(format), least_(least) {}

  void set_least(Level least) { least_.store(least, std::memory_order_relaxed); }
  bool Enabled(Level level) const { return level <= least_.load(std::memory_order_relaxed); }

  void Write(Level level, std::string_view text);
  void Error(std::string_view text) { Write(Level::kError, text); }
  void Warning(std::string_view text) { Write(Level::kWarning, text); }
  void Notice(std::string_view text) { Write(Level::kNotice, text); }
  void Info(std::string_view text) { Write(Level::kInfo, text); }
  void Debug(std::string_view text) { Write(Level::kDebug, text); }

  // kHuman for a terminal, else kJournal.
  static Format FormatFor(int fd);

 private:
  const int fd_;
  const Format format_;
  std::atomic<Level> least_;
};

// The line, with its end, as Logger writes it. What a terminal or journal could take for control
// characters or a further line is escaped.
std::string FormatLine(Format format, Level level, std::string_view text, absl::Time now,
                       absl::TimeZone zone);

}  // namespace prefork::log

#endif  // PREFORK_COMMON_LOG_LOGGER_H_
