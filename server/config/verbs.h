#ifndef PREFORK_SERVER_CONFIG_VERBS_H_
#define PREFORK_SERVER_CONFIG_VERBS_H_

#include <cstdint>
#include <ostream>

#include "server/config/loader.h"

namespace prefork::config {

// What preforkd can be asked instead of serving.
enum class ConfigVerb : uint8_t {
  kCheck,   // --check-config: loads, and says what it read
  kShow,    // --show-config: the values in force and their origins
  kSchema,  // --config-schema: the JSON schema
};

// Does it and returns the exit code: 0, or 1 when the configuration is wrong. Data goes to `out`,
// errors go to `err`, one line each.
int RunConfigVerb(ConfigVerb verb, const LoadOptions& options, std::ostream& out,
                  std::ostream& err);

}  // namespace prefork::config

#endif  // PREFORK_SERVER_CONFIG_VERBS_H_
