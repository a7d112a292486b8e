// How a configuration comes about:
//
//   files (in order) --+
//   environment -------+--> assignments, in order of precedence --> Config + origins
//   --set -------------+          |
//                                 +--> errors: every one of them, in the same order
//
// A wrong value is an error even when a later source would replace it. Pools begin as copies of
// [pool_defaults], so those are applied first.
#include "server/config/loader.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/os/socket_path.h"
#include "common/text/views.h"
#include "server/config/sources.h"
#include "server/pool/pool_spec.h"

namespace prefork::config {
namespace {

using text::ToAbsl;

std::string Lookup(const std::map<std::string, std::string>& environment, const std::string& name) {
  const auto found = environment.find(name);
  return found == environment.end() ? "" : found->second;
}

// The first of the directories that systemd names in `variable`; empty without one.
std::string ServiceDirectory(const LoadOptions& options, const std::string& variable) {
  const std::string directories = Lookup(options.environment, variable);
  const std::string first = directories.substr(0, directories.find(':'));
  return absl::StartsWith(first, "/") ? first : "";
}

std::string UsualSocket(const LoadOptions& options) {
  const std::string service = ServiceDirectory(options, "RUNTIME_DIRECTORY");
  if (!service.empty()) return service + "/prefork.sock";
  return os::DefaultSocketPath(options.uid, Lookup(options.environment, "XDG_RUNTIME_DIR").c_str());
}

std::string UsualFile(const LoadOptions& options) {
  const std::string service = ServiceDirectory(options, "CONFIGURATION_DIRECTORY");
  if (!service.empty()) return service + "/prefork.toml";
  if (options.uid == 0) return options.system_directory + "/prefork.toml";
  const std::string config_home = Lookup(options.environment, "XDG_CONFIG_HOME");
  if (absl::StartsWith(config_home, "/")) return config_home + "/prefork/prefork.toml";
  const std::string home = Lookup(options.environment, "HOME");
  return home.empty() ? "" : home + "/.config/prefork/prefork.toml";
}

// Applies assignments; keeps errors and origins.
class Builder {
 public:
  void Add(SourceResult source) {
    errors_.insert(errors_.end(), source.errors.begin(), source.errors.end());
    for (const std::string& pool : source.pools) pools_[pool];
    for (Assignment& each : source.assignments) assignments_.push_back(std::move(each));
  }

  absl::StatusOr<LoadedConfig> Build(const LoadOptions& options) {
    for (const Assignment& each : assignments_) {
      if (each.section != kPoolSection) Apply(each, loaded_.config.pool_defaults);
    }
    ResolveFoldedPools();
    for (auto& [name, spec] : pools_) {
      spec = loaded_.config.pool_defaults;
      spec.name = name;
    }
    for (const Assignment& each : assignments_) {
      if (each.section == kPoolSection) Apply(each, pools_[each.pool]);
    }
    if (pools_.empty()) {
      pools_["default"] = loaded_.config.pool_defaults;
      pools_["default"].name = "default";
    }
    for (const auto& [name, spec] : pools_) loaded_.config.pools.push_back(spec);
    if (loaded_.config.daemon.socket.empty()) {
      loaded_.config.daemon.socket = UsualSocket(options);
    }
    CheckTogether();
    if (!errors_.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors_, "\n"));
    return std::move(loaded_);
  }

 private:
  void Apply(const Assignment& each, pool::PoolSpec& spec) {
    const std::string path = each.Path();
    const absl::Status assigned =
        Assign(each.key->rule, each.value, each.key->slot(loaded_.config, spec));
    if (!assigned.ok()) {
      errors_.push_back(absl::StrCat(each.origin, ": ", path, " ", assigned.message()));
      return;
    }
    loaded_.origins[path] = each.origin;
  }

  // A variable's name has no '.' and '-': it means the pool of that name, or one that folds to it.
  void ResolveFoldedPools() {
    for (Assignment& each : assignments_) {
      if (!each.folded_pool || each.section != kPoolSection) continue;
      const auto meant = std::find_if(pools_.begin(), pools_.end(), [&](const auto& entry) {
        return EnvironmentName(entry.first) == EnvironmentName(each.pool);
      });
      if (meant != pools_.end()) {
        each.pool = meant->first;
      } else if (pool::IsPoolName(each.pool)) {
        pools_[each.pool];
      } else {
        errors_.push_back(absl::StrCat(each.origin, ": ", Quote(each.pool), " is no pool name"));
      }
    }
  }

  // What no single key can tell.
  void CheckTogether() {
    const Config& config = loaded_.config;
    if (!config.tls.listen.empty() && (config.tls.certificate.empty() || config.tls.key.empty() ||
                                       config.tls.client_ca.empty())) {
      Wrong("tls.listen", "needs tls.certificate, tls.key and tls.client_ca");
    }
    if (!config.tls.listen.empty() && !absl::StrContains(config.tls.listen, ':')) {
      Wrong("tls.listen", "must be \"host:port\"");
    }
    if (config.limits.warm_segment_bytes > config.limits.segment_bytes) {
      Wrong("limits.warm_segments", "is larger than limits.segments");
    }
    if (config.pools.size() > config.limits.pools) {
      Wrong("limits.pools", absl::StrCat("is ", config.limits.pools, ", but ", config.pools.size(),
                                         " pools are configured"));
    }
    for (const pool::PoolSpec& pool : config.pools) {
      const std::string prefix = absl::StrCat("pool.", pool.name, ".");
      if (pool.runtime != pool::Runtime::kNative && !pool.modules.empty()) {
        Wrong(prefix + "modules", "needs the runtime \"native\"");
      }
      if (pool.runtime == pool::Runtime::kNative && pool.modules.empty() &&
          pool.zygote_command.empty()) {
        Wrong(prefix + "runtime", "is \"native\", which needs modules");
      }
    }
  }

  void Wrong(const std::string& path, std::string_view what) {
    const auto origin = loaded_.origins.find(path);
    errors_.push_back(absl::StrCat(origin == loaded_.origins.end() ? "default" : origin->second,
                                   ": ", path, " ", ToAbsl(what)));
  }

  LoadedConfig loaded_;
  std::vector<Assignment> assignments_;
  std::map<std::string, pool::PoolSpec> pools_;
  std::vector<std::string> errors_;
};

absl::Status CantRead(const std::string& path, int error) {
  const std::string message = absl::StrCat(path, ": can't be read: ", std::strerror(error));
  if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(message);
  return absl::InvalidArgumentError(message);
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  if (file == nullptr) return CantRead(path, errno);
  std::string text;
  std::array<char, 4096> buffer;
  while (const size_t got = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    text.append(buffer.data(), got);
  }
  if (std::ferror(file.get()) != 0) return CantRead(path, errno);
  return text;
}

// *.toml in `directory`, sorted; none when it does not exist.
std::vector<std::string> DropIns(const std::string& directory) {
  std::vector<std::string> files;
  DIR* dir = opendir(directory.c_str());
  if (dir == nullptr) return files;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name[0] != '.' && absl::EndsWith(name, ".toml"))
      files.push_back(absl::StrCat(directory, "/", name));
  }
  closedir(dir);
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

LoadOptions CurrentSurroundings() {
  LoadOptions options;
  options.uid = geteuid();
  for (char** each = environ; each != nullptr && *each != nullptr; ++each) {
    const std::string entry = *each;
    const size_t equals = entry.find('=');
    if (equals != std::string::npos) {
      options.environment[entry.substr(0, equals)] = entry.substr(equals + 1);
    }
  }
  return options;
}

absl::StatusOr<LoadedConfig> ParseConfig(
    const std::vector<std::pair<std::string, std::string>>& files, const LoadOptions& options) {
  Builder builder;
  for (const auto& [name, text] : files) builder.Add(ReadToml(text, name));
  builder.Add(ReadEnvironment(options.environment));
  builder.Add(ReadOverrides(options.overrides));
  absl::StatusOr<LoadedConfig> loaded = builder.Build(options);
  if (loaded.ok()) {
    for (const auto& [name, text] : files) loaded->files.push_back(name);
  }
  return loaded;
}

absl::StatusOr<LoadedConfig> LoadConfig(const LoadOptions& options) {
  std::string main_file = options.file;
  if (main_file.empty()) main_file = Lookup(options.environment, "PREFORK_CONFIG");
  const bool asked_for = !main_file.empty();
  if (!asked_for) main_file = UsualFile(options);

  std::vector<std::pair<std::string, std::string>> texts;
  if (!main_file.empty()) {
    const size_t slash = main_file.rfind('/');
    const std::string directory = slash == std::string::npos ? "." : main_file.substr(0, slash);
    std::vector<std::string> files = DropIns(directory + "/conf.d");
    files.insert(files.begin(), main_file);
    std::vector<std::string> errors;
    for (const std::string& file : files) {
      absl::StatusOr<std::string> text = ReadFile(file);
      if (text.ok()) {
        texts.emplace_back(file, *std::move(text));
      } else if (asked_for || file != main_file || !absl::IsNotFound(text.status())) {
        errors.emplace_back(text.status().message());
      }
    }
    if (!errors.empty()) return absl::InvalidArgumentError(absl::StrJoin(errors, "\n"));
  }
  return ParseConfig(texts, options);
}

}  // namespace prefork::config
