// Environment variables and flags.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/text/nearest.h"
#include "common/text/views.h"
#include "server/config/sources.h"
#include "server/pool/pool_spec.h"

namespace prefork::config {
namespace {

using text::ToAbsl;

std::string DidYouMean(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string meant = text::Nearest(word, candidates);
  return meant.empty() ? "" : absl::StrCat("; did you mean ", meant, "?");
}

// The key whose variable `variable` is, with its pool; null when there is none.
std::pair<const Key*, std::string> FindByVariable(std::string_view section,
                                                  const std::string& variable) {
  const std::string prefix = EnvironmentName(section) + '_';
  const std::string rest = variable.substr(prefix.size());
  const Key* found = nullptr;
  std::string pool;
  for (const Key* key : KeysOf(section)) {
    const std::string suffix = absl::AsciiStrToUpper(ToAbsl(key->name));
    if (section != kPoolSection) {
      if (rest == suffix) return {key, ""};
      continue;
    }
    // The longest key wins: PREFORK_POOL_A_MAX_OUTPUT is no key of the pool a_max.
    const bool longer = found == nullptr || key->name.size() > found->name.size();
    if (!longer || !absl::EndsWith(rest, '_' + suffix) || rest.size() == suffix.size() + 1)
      continue;
    found = key;
    pool = absl::AsciiStrToLower(rest.substr(0, rest.size() - suffix.size() - 1));
  }
  return {found, pool};
}

// "daemon.socket" -> section, pool, key. Pool names may have dots.
struct PathParts {
  std::string section, pool, key;
};
std::optional<PathParts> SplitPath(const std::string& path) {
  const size_t first = path.find('.');
  const size_t last = path.rfind('.');
  if (first == std::string::npos) return std::nullopt;
  PathParts parts{path.substr(0, first), "", path.substr(last + 1)};
  const bool wants_pool = parts.section == kPoolSection;
  if (wants_pool != (first != last)) return std::nullopt;
  if (wants_pool) parts.pool = path.substr(first + 1, last - first - 1);
  return parts;
}

RawValue PlainText(std::string_view text) {
  return RawValue{.data = std::string(text), .plain_text = true};
}

}  // namespace

std::string Assignment::Path() const {
  return absl::StrCat(section, ".", pool, pool.empty() ? "" : ".", ToAbsl(key->name));
}

SourceResult ReadEnvironment(const std::map<std::string, std::string>& environment) {
  SourceResult result;
  for (const auto& [variable, value] : environment) {
    // The longest section wins: PREFORK_POOL_DEFAULTS_SIZE is not the size of a pool "defaults".
    std::string_view section;
    for (const Section& each : Sections()) {
      if (!absl::StartsWith(variable, EnvironmentName(each.name) + '_')) continue;
      if (each.name.size() > section.size()) section = each.name;
    }
    if (section.empty()) continue;
    const auto [key, pool] = FindByVariable(section, variable);
    if (key == nullptr) {
      std::vector<std::string> candidates;
      for (const Key* each : KeysOf(section)) {
        if (section == kPoolSection) continue;
        candidates.push_back(
            EnvironmentName(absl::StrCat(ToAbsl(section), ".", ToAbsl(each->name))));
      }
      result.errors.push_back(absl::StrCat(variable, ": there is no such key in [", ToAbsl(section),
                                           "]", DidYouMean(variable, candidates)));
      continue;
    }
    result.assignments.push_back({.key = key,
                                  .section = std::string(section),
                                  .pool = pool,
                                  .value = PlainText(value),
                                  .origin = variable,
                                  .folded_pool = true});
  }
  return result;
}

SourceResult ReadOverrides(const std::vector<std::string>& overrides) {
  SourceResult result;
  for (const std::string& text : overrides) {
    const size_t equals = text.find('=');
    const std::string path = text.substr(0, equals);
    const std::optional<PathParts> parts = SplitPath(path);
    if (equals == std::string::npos || !parts) {
      result.errors.push_back(
          absl::StrCat("--set ", Quote(text), ": write section.key=value or pool.NAME.key=value"));
      continue;
    }
    const Key* key = FindKey(parts->section, parts->key);
    if (key == nullptr) {
      std::vector<std::string> candidates;
      for (const Section& section : Sections()) {
        const std::string pool = section.name == kPoolSection ? parts->pool + "." : "";
        for (const Key* each : KeysOf(section.name)) {
          candidates.push_back(absl::StrCat(ToAbsl(section.name), ".", pool, ToAbsl(each->name)));
        }
      }
      result.errors.push_back(
          absl::StrCat("--set: unknown key ", Quote(path), DidYouMean(path, candidates)));
      continue;
    }
    if (parts->section == kPoolSection && !pool::IsPoolName(parts->pool)) {
      result.errors.push_back(absl::StrCat(
          "--set: ", Quote(parts->pool), " is no pool name: ", text::ToAbsl(pool::kPoolNameRule)));
      continue;
    }
    if (!parts->pool.empty()) result.pools.push_back(parts->pool);
    result.assignments.push_back({.key = key,
                                  .section = parts->section,
                                  .pool = parts->pool,
                                  .value = PlainText(text.substr(equals + 1)),
                                  .origin = "--set"});
  }
  return result;
}

}  // namespace prefork::config
