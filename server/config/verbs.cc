#include "server/config/verbs.h"

#include "absl/strings/str_join.h"
#include "server/config/show.h"

namespace prefork::config {

int RunConfigVerb(ConfigVerb verb, const LoadOptions& options, std::ostream& out,
                  std::ostream& err) {
  if (verb == ConfigVerb::kSchema) {
    out << FormatJsonSchema();
    return 0;
  }
  const absl::StatusOr<LoadedConfig> loaded = LoadConfig(options);
  if (!loaded.ok()) {
    err << loaded.status().message() << "\n";
    return 1;
  }
  if (verb == ConfigVerb::kShow) {
    out << FormatEffective(*loaded);
    return 0;
  }
  const std::string read =
      loaded->files.empty() ? "no file, all defaults" : absl::StrJoin(loaded->files, ", ");
  out << "configuration is valid: " << read << "; " << loaded->config.pools.size() << " pool"
      << (loaded->config.pools.size() == 1 ? "" : "s") << "\n";
  return 0;
}

}  // namespace prefork::config
