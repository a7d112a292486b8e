#ifndef PREFORK_SERVER_CONFIG_SOURCES_H_
#define PREFORK_SERVER_CONFIG_SOURCES_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "server/config/schema.h"
#include "server/config/value.h"

// The three places that values come from: files, environment variables and `--set` flags. Each is
// turned into a list of assignments; unknown keys and bad syntax become error lines.
namespace prefork::config {

struct Assignment {
  const Key* key = nullptr;
  std::string section;
  std::string pool;  // only in the section "pool"
  RawValue value;
  std::string origin;        // "/etc/prefork/prefork.toml:3:1", "PREFORK_DAEMON_SOCKET", "--set"
  bool folded_pool = false;  // `pool` comes from a variable's name: '.' and '-' are '_' in it

  // "daemon.socket", "pool.default.size"
  std::string Path() const;
};

struct SourceResult {
  std::vector<Assignment> assignments;
  std::vector<std::string> errors;  // one line each, the place first
  std::vector<std::string> pools;   // every pool that is named, also by an empty table
};

// `file` is the name for messages.
SourceResult ReadToml(std::string_view text, const std::string& file);

// Variables that begin with PREFORK_ and a section's name; others are not ours.
SourceResult ReadEnvironment(const std::map<std::string, std::string>& environment);

// "section.key=value" each.
SourceResult ReadOverrides(const std::vector<std::string>& overrides);

}  // namespace prefork::config

#endif  // PREFORK_SERVER_CONFIG_SOURCES_H_
