#include "server/config/show.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/text/views.h"
#include "server/config/schema.h"

namespace prefork::config {
namespace {

using text::ToAbsl;

constexpr size_t kPageWidth = 100;

// `text` in lines of at most kPageWidth, each after `prefix`.
std::string Wrap(std::string_view text, std::string_view prefix) {
  std::string page;
  std::string line(prefix);
  for (const absl::string_view word : absl::StrSplit(ToAbsl(text), ' ')) {
    if (line.size() > prefix.size() && line.size() + 1 + word.size() > kPageWidth) {
      absl::StrAppend(&page, line, "\n");
      line = prefix;
    }
    if (line.size() > prefix.size()) line += ' ';
    absl::StrAppend(&line, word);
  }
  return absl::StrCat(page, line, "\n");
}

// What else an operator should know of a key: the words or the range it allows.
std::string Allowed(const Key& key) {
  const std::vector<std::string> choices = Choices(key.rule.type);
  if (choices.empty()) return std::string(Describe(key.rule.type));
  return absl::StrCat("one of ",
                      absl::StrJoin(choices, ", ", [](std::string* out, const auto& word) {
                        absl::StrAppend(out, Quote(word));
                      }));
}

std::string Default(const Key& key) {
  Config config;
  return ToToml(key.rule.type, key.slot(config, config.pool_defaults));
}

// The lines of one table, with origins.
void AppendTable(const std::string& header, const std::string& path_prefix,
                 std::string_view section, const LoadedConfig& loaded, Config& config,
                 pool::PoolSpec& spec, std::string_view otherwise, std::string* out) {
  std::vector<std::pair<std::string, std::string>> lines;
  size_t width = 0;
  for (const Key* key : KeysOf(section)) {
    const auto origin = loaded.origins.find(absl::StrCat(path_prefix, ToAbsl(key->name)));
    const bool inherited =
        section == kPoolSection && origin == loaded.origins.end() &&
        loaded.origins.contains(absl::StrCat(ToAbsl(kPoolDefaultsSection), ".", ToAbsl(key->name)));
    lines.emplace_back(
        absl::StrCat(ToAbsl(key->name), " = ", ToToml(key->rule.type, key->slot(config, spec))),
        origin != loaded.origins.end() ? origin->second
        : inherited                    ? std::string(kPoolDefaultsSection)
                                       : std::string(otherwise));
    width = std::max(width, lines.back().first.size());
  }
  absl::StrAppend(out, "\n[", header, "]\n");
  for (const auto& [line, origin] : lines) {
    absl::StrAppend(out, line, std::string(width - line.size(), ' '), "  # ", origin, "\n");
  }
}

std::string EscapeRoff(std::string_view text) {
  std::string escaped = absl::StrReplaceAll(ToAbsl(text), {{"\\", "\\e"}, {"-", "\\-"}});
  if (!escaped.empty() && (escaped[0] == '.' || escaped[0] == '\'')) escaped.insert(0, "\\&");
  return escaped;
}

std::string JsonType(const Key& key) {
  switch (key.rule.type) {
    case ValueType::kCount:
      return absl::StrCat(
          "\"type\": \"integer\", \"minimum\": ", key.rule.min,
          key.rule.max == UINT64_MAX ? "" : absl::StrCat(", \"maximum\": ", key.rule.max));
    case ValueType::kBytes:
    case ValueType::kFileMode:
      return R"("type": ["integer", "string"])";
    case ValueType::kTextList:
    case ValueType::kPathList:
      return R"("type": "array", "items": { "type": "string" })";
    case ValueType::kTextMap:
      return R"("type": "object", "additionalProperties": { "type": "string" })";
    default:
      break;
  }
  const std::vector<std::string> choices = Choices(key.rule.type);
  if (choices.empty()) return R"("type": "string")";
  return absl::StrCat(
      "\"enum\": [",
      absl::StrJoin(choices, ", ",
                    [](std::string* out, const auto& word) { absl::StrAppend(out, Quote(word)); }),
      "]");
}

// The object that describes one table.
std::string JsonTable(std::string_view section, std::string_view indent) {
  std::vector<std::string> properties;
  for (const Key* key : KeysOf(section)) {
    properties.push_back(absl::StrCat(ToAbsl(indent), "    ", Quote(key->name), ": { ",
                                      JsonType(*key), ", \"description\": ", Quote(key->doc),
                                      " }"));
  }
  return absl::StrCat("{\n", ToAbsl(indent), "  \"type\": \"object\",\n", ToAbsl(indent),
                      "  \"additionalProperties\": false,\n", ToAbsl(indent),
                      "  \"properties\": {\n", absl::StrJoin(properties, ",\n"), "\n",
                      ToAbsl(indent), "  }\n", ToAbsl(indent), "}");
}

}  // namespace

std::string FormatEffective(const LoadedConfig& loaded) {
  Config config = loaded.config;
  std::string out = loaded.files.empty()
                        ? "# No configuration file.\n"
                        : absl::StrCat("# From ", absl::StrJoin(loaded.files, ", "), "\n");
  for (const Section& section : Sections()) {
    if (section.name == kPoolSection) continue;
    const std::string name(section.name);
    AppendTable(name, name + ".", name, loaded, config, config.pool_defaults, "default", &out);
  }
  for (pool::PoolSpec& pool : config.pools) {
    // A dot in the name would begin another table.
    const std::string key = absl::StrContains(pool.name, '.') ? Quote(pool.name) : pool.name;
    AppendTable("pool." + key, absl::StrCat("pool.", pool.name, "."), kPoolSection, loaded, config,
                pool, "default", &out);
  }
  return out;
}

std::string FormatExample() {
  std::string out =
      "# Configuration of preforkd. Every key is here, with its default; remove the \"#\" to set "
      "it.\n"
      "#\n"
      "# Precedence: --set section.key=value, then the environment variable PREFORK_SECTION_KEY, "
      "then\n"
      "# conf.d/*.toml beside this file, then this file. Check it with `prefork config check`; see "
      "what\n"
      "# is in force, and where it comes from, with `prefork config show --effective`.\n"
      "# Sizes: 4096, \"512M\", \"2GiB\". Durations: \"250ms\", \"30s\", \"1h30m\", "
      "\"infinity\".\n";
  for (const Section& section : Sections()) {
    const bool is_pool = section.name == kPoolSection;
    absl::StrAppend(&out, "\n", Wrap(section.doc, "# "), is_pool ? "#[pool.default]" : "[",
                    is_pool ? "" : ToAbsl(section.name), is_pool ? "\n" : "]\n");
    if (section.name == kPoolDefaultsSection) {
      absl::StrAppend(&out,
                      "# The keys of [pool.NAME], below; for example:\n#task_timeout = \"1h\"\n");
      continue;
    }
    for (const Key* key : KeysOf(section.name)) {
      absl::StrAppend(&out, "\n", Wrap(key->doc, "# "), "#", ToAbsl(key->name), " = ",
                      Default(*key), "\n");
    }
  }
  return out;
}

std::string FormatManPage(std::string_view version) {
  std::string out = absl::StrCat(
      ".TH PREFORK.TOML 5 \"\" \"prefork ", ToAbsl(version),
      "\" \"File formats\"\n.SH NAME\nprefork.toml \\- configuration of preforkd(8)\n.SH SYNOPSIS\n"
      ".I /etc/prefork/prefork.toml\n.br\n.I /etc/prefork/conf.d/*.toml\n.br\n"
      ".I ~/.config/prefork/prefork.toml\n.SH DESCRIPTION\n"
      "A TOML file. preforkd never writes it, and works without one. A flag\n"
      ".B \\-\\-set section.key=value\nwins over an environment variable (its name is with each "
      "key),\n"
      "that over the files in conf.d beside the file, in order of their names, and those over the "
      "file.\nAn unknown key is an error.\n.PP\n"
      "Sizes are written like 4096, \"512M\" or \"2GiB\"; durations like \"250ms\", \"30s\",\n"
      "\"1h30m\" or \"infinity\".\n");
  for (const Section& section : Sections()) {
    const std::string header =
        section.name == kPoolSection ? "[pool.NAME]" : absl::StrCat("[", ToAbsl(section.name), "]");
    absl::StrAppend(&out, ".SH ", header, "\n", EscapeRoff(section.doc), "\n");
    if (section.name == kPoolDefaultsSection) {
      absl::StrAppend(&out, "It has the keys of [pool.NAME].\n");
      continue;
    }
    const std::string path =
        section.name == kPoolSection ? "pool.NAME." : absl::StrCat(ToAbsl(section.name), ".");
    for (const Key* key : KeysOf(section.name)) {
      absl::StrAppend(
          &out, ".TP\n.BR ", EscapeRoff(key->name), "\n", EscapeRoff(key->doc), "\n.br\n", "It is ",
          EscapeRoff(Allowed(*key)), "; default: ", EscapeRoff(Default(*key)),
          ". Variable: ", EscapeRoff(EnvironmentName(absl::StrCat(path, ToAbsl(key->name)))), "\n");
    }
  }
  absl::StrAppend(&out, ".SH SEE ALSO\n.BR preforkd (8),\n.BR prefork (1)\n");
  return out;
}

std::string FormatJsonSchema() {
  std::vector<std::string> sections;
  for (const Section& section : Sections()) {
    const bool is_pool = section.name == kPoolSection;
    const std::string table = JsonTable(section.name, is_pool ? "      " : "    ");
    sections.push_back(absl::StrCat(
        "    ", Quote(section.name), ": ",
        is_pool ? absl::StrCat("{\n      \"type\": \"object\",\n      \"additionalProperties\": ",
                               table, "\n    }")
                : table));
  }
  return absl::StrCat(
      "{\n  \"$schema\": \"http://json-schema.org/draft-07/schema#\",\n"
      "  \"title\": \"prefork.toml\",\n  \"type\": \"object\",\n"
      "  \"additionalProperties\": false,\n  \"properties\": {\n",
      absl::StrJoin(sections, ",\n"), "\n  }\n}\n");
}

}  // namespace prefork::config
