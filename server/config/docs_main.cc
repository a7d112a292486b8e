// Prints one of the documents that are made from the table of keys; used by the build.
#include <cstdio>
#include <string>
#include <string_view>

#include "server/config/show.h"

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  std::string text;
  if (what == "example") {
    text = prefork::config::FormatExample();
  } else if (what == "schema") {
    text = prefork::config::FormatJsonSchema();
  } else if (what == "man" && argc == 3) {
    text = prefork::config::FormatManPage(argv[2]);
  } else {
    std::fputs("usage: prefork_config_docs example | schema | man VERSION\n", stderr);
    return 2;
  }
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() ? 0 : 1;
}
