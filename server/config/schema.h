#ifndef PREFORK_SERVER_CONFIG_SCHEMA_H_
#define PREFORK_SERVER_CONFIG_SCHEMA_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "server/config/config.h"
#include "server/config/value.h"

// The one table of all keys. Files, environment, flags, `--show-config`, the example file, the
// manual page and the JSON schema are all made from it.
namespace prefork::config {

struct Section {
  std::string_view name;
  std::string_view doc;
};
// In the order of the example file. "pool" stands for every [pool.NAME].
absl::Span<const Section> Sections();

struct Key {
  std::string_view section;
  std::string_view name;
  ValueRule rule;
  // Full sentences for an operator.
  std::string_view doc;
  // Where the value is kept. Keys of pools use the spec, all others the configuration.
  Slot (*slot)(Config& config, pool::PoolSpec& spec);
};
// The keys of one section. "pool" and "pool_defaults" have the same.
std::vector<const Key*> KeysOf(std::string_view section);
// Null: no such key.
const Key* FindKey(std::string_view section, std::string_view name);

inline constexpr std::string_view kPoolSection = "pool";
inline constexpr std::string_view kPoolDefaultsSection = "pool_defaults";

// "daemon.socket" is PREFORK_DAEMON_SOCKET; "pool.my-pool.size" is PREFORK_POOL_MY_POOL_SIZE.
std::string EnvironmentName(std::string_view path);

}  // namespace prefork::config

#endif  // PREFORK_SERVER_CONFIG_SCHEMA_H_
