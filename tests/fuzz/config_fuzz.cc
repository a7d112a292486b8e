// Feeds arbitrary text to the configuration: as a file, as variables and as flags. What it accepts
// must be shown in a form that it accepts again with the same meaning.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "common/os/check.h"
#include "server/config/loader.h"
#include "server/config/show.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using prefork::config::FormatEffective;
  using prefork::config::LoadOptions;
  using prefork::config::ParseConfig;

  // The first line is split between a variable and a flag, the rest is the file.
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end_of_line = input.find('\n');
  const std::string line(input.substr(0, end_of_line));
  const std::string file(end_of_line == input.npos ? "" : input.substr(end_of_line + 1));

  LoadOptions options;
  options.uid = 1000;
  if (const size_t equals = line.find('='); equals != line.npos) {
    options.environment["PREFORK_" + line.substr(0, equals)] = line.substr(equals + 1);
    options.overrides.push_back(line);
  }
  const auto loaded = ParseConfig({{"fuzz.toml", file}}, options);
  if (!loaded.ok()) {
    PREFORK_CHECK(!loaded.status().message().empty());
    return 0;
  }
  LoadOptions nothing_else;
  nothing_else.uid = 1000;
  const auto again = ParseConfig({{"shown.toml", FormatEffective(*loaded)}}, nothing_else);
  PREFORK_CHECK(again.ok());
  // Origins differ; the values must not. A second look at the shown file settles both.
  const auto third = ParseConfig({{"shown.toml", FormatEffective(*again)}}, nothing_else);
  PREFORK_CHECK(third.ok() && FormatEffective(*again) == FormatEffective(*third));
  return 0;
}
