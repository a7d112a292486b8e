#ifndef PREFORK_SERVER_CONFIG_SHOW_H_
#define PREFORK_SERVER_CONFIG_SHOW_H_

#include <string>

#include "server/config/loader.h"

// Everything that is printed from the table of keys.
namespace prefork::config {

// All keys with the values in force, as TOML that loads to the same configuration; a comment on
// each line says where the value comes from.
std::string FormatEffective(const LoadedConfig& loaded);

// deploy/prefork.toml: every key, commented out, with its default and what it means.
std::string FormatExample();

// The body of prefork.toml(5), in man(7) macros.
std::string FormatManPage(std::string_view version);

// A JSON Schema (draft 7) for editors.
std::string FormatJsonSchema();

}  // namespace prefork::config

#endif  // PREFORK_SERVER_CONFIG_SHOW_H_
