// Files. toml++ is included here only, without exceptions and without its library.
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/text/nearest.h"
#include "common/text/views.h"
#include "server/config/sources.h"

namespace prefork::config {
namespace {

using text::ToAbsl;

std::string_view TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::floating_point:
      return "a fraction";
    case toml::node_type::boolean:
      return "true or false";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      return "a date or time";
    case toml::node_type::array:
      return "a list of something else";
    case toml::node_type::table:
      return "a table of something else";
    default:
      return "nothing";
  }
}

RawValue ToRawValue(const toml::node& node) {
  RawValue raw;
  raw.data = RawValue::Unusable{std::string(TypeName(node))};
  if (const auto* text = node.as_string()) {
    raw.data = text->get();
  } else if (const auto* number = node.as_integer()) {
    raw.data = number->get();
  } else if (const auto* array = node.as_array()) {
    std::vector<std::string> items;
    for (const toml::node& item : *array) {
      const auto* text = item.as_string();
      if (text == nullptr) return raw;
      items.push_back(text->get());
    }
    raw.data = std::move(items);
  } else if (const auto* table = node.as_table()) {
    std::map<std::string, std::string> entries;
    for (const auto& [name, value] : *table) {
      const auto* text = value.as_string();
      if (text == nullptr) return raw;
      entries.emplace(name.str(), text->get());
    }
    raw.data = std::move(entries);
  }
  return raw;
}

// Walks one parsed file.
class Reader {
 public:
  Reader(const std::string& file, SourceResult* result) : file_(file), result_(*result) {}

  void ReadRoot(const toml::table& root) {
    for (const auto& [name, node] : root) {
      const std::string section(name.str());
      const toml::table* table = node.as_table();
      if (!IsSection(section)) {
        UnknownTopLevel(section, name.source().begin, table != nullptr);
      } else if (table == nullptr) {
        Error(name.source().begin, absl::StrCat("\"", section, "\" must be a table, [", section,
                                                section == kPoolSection ? ".NAME]" : "]"));
      } else if (section == kPoolSection) {
        ReadPools(*table);
      } else {
        ReadSection(section, "", *table);
      }
    }
  }

 private:
  static bool IsSection(std::string_view name) {
    for (const Section& section : Sections()) {
      if (section.name == name) return true;
    }
    return false;
  }

  void Error(const toml::source_position& at, const std::string& message) {
    result_.errors.push_back(absl::StrCat(file_, ":", at.line, ":", at.column, ": ", message));
  }

  void UnknownTopLevel(const std::string& name, const toml::source_position& at, bool is_table) {
    std::vector<std::string> candidates;
    std::string meant;
    for (const Section& section : Sections()) {
      candidates.emplace_back(section.name);
      if (is_table || FindKey(section.name, name) == nullptr || !meant.empty()) continue;
      meant = absl::StrCat(ToAbsl(section.name), ".", name);
    }
    if (meant.empty()) meant = text::Nearest(name, candidates);
    Error(at, absl::StrCat("unknown ", is_table ? "section" : "key", " \"", name, "\"",
                           meant.empty() ? "" : absl::StrCat("; did you mean \"", meant, "\"?")));
  }

  void ReadPools(const toml::table& pools) {
    for (const auto& [name, node] : pools) {
      const std::string pool(name.str());
      const toml::table* table = node.as_table();
      if (table == nullptr) {
        const bool is_key = FindKey(kPoolSection, pool) != nullptr;
        Error(name.source().begin,
              is_key ? absl::StrCat("\"", pool, "\" belongs to a pool: put it under [pool.NAME]")
                     : absl::StrCat("\"pool.", pool, "\" must be a table, [pool.", pool, "]"));
      } else if (!IsPoolName(pool)) {
        Error(name.source().begin,
              absl::StrCat(Quote(pool),
                           " is no pool name: 1 to 63 of a-z 0-9 . _ -, beginning "
                           "with a letter or digit"));
      } else {
        result_.pools.push_back(pool);
        ReadSection(std::string(kPoolSection), pool, *table);
      }
    }
  }

  void ReadSection(const std::string& section, const std::string& pool, const toml::table& table) {
    for (const auto& [name, node] : table) {
      const toml::source_position at = name.source().begin;
      const Key* key = FindKey(section, name.str());
      if (key == nullptr) {
        std::vector<std::string> candidates;
        for (const Key* each : KeysOf(section)) candidates.emplace_back(each->name);
        const std::string meant = text::Nearest(name.str(), candidates);
        Error(at,
              absl::StrCat("unknown key ", Quote(name.str()), " in [", section,
                           pool.empty() ? "" : ".", pool, "]",
                           meant.empty() ? "" : absl::StrCat("; did you mean \"", meant, "\"?")));
        continue;
      }
      result_.assignments.push_back({.key = key,
                                     .section = section,
                                     .pool = pool,
                                     .value = ToRawValue(node),
                                     .origin = absl::StrCat(file_, ":", at.line, ":", at.column)});
    }
  }

  const std::string& file_;
  SourceResult& result_;
};

}  // namespace

SourceResult ReadToml(std::string_view text, const std::string& file) {
  SourceResult result;
  const toml::parse_result parsed = toml::parse(text, file);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    const toml::source_position at = error.source().begin;
    result.errors.push_back(
        absl::StrCat(file, ":", at.line, ":", at.column, ": ", ToAbsl(error.description())));
    return result;
  }
  Reader(file, &result).ReadRoot(parsed.table());
  return result;
}

}  // namespace prefork::config
