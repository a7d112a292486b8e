#ifndef PREFORK_SERVER_CONFIG_LOADER_H_
#define PREFORK_SERVER_CONFIG_LOADER_H_

#include <sys/types.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config/config.h"

namespace prefork::config {

// Where to look; everything the process's surroundings could decide is in here, so tests need none.
struct LoadOptions {
  std::string file;                    // --config; empty: $PREFORK_CONFIG, then the usual place
  std::vector<std::string> overrides;  // --set section.key=value
  std::map<std::string, std::string> environment;
  uid_t uid = 0;
  std::string system_directory = "/etc/prefork";
};
// From this process: its environment and user.
LoadOptions CurrentSurroundings();

struct LoadedConfig {
  Config config;
  std::vector<std::string> files;  // that were read, in order
  // "daemon.socket" -> where its value comes from. What is not in here is a default.
  std::map<std::string, std::string> origins;
};

// Reads the file (root: /etc/prefork/prefork.toml; others: prefork/prefork.toml below
// $XDG_CONFIG_HOME or ~/.config; a systemd service: in its $CONFIGURATION_DIRECTORY) and then, in order of their names, the *.toml in `conf.d` beside
// it; then environment variables; then overrides. Later ones win. A file that was not asked for
// may be missing. INVALID_ARGUMENT carries every error, one per line, each with its place.
absl::StatusOr<LoadedConfig> LoadConfig(const LoadOptions& options);

// The same from texts that are in memory: (name, text) in order of precedence.
absl::StatusOr<LoadedConfig> ParseConfig(
    const std::vector<std::pair<std::string, std::string>>& files, const LoadOptions& options);

}  // namespace prefork::config

#endif  // PREFORK_SERVER_CONFIG_LOADER_H_
