#include "client/cli/style.h"

#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace prefork::cli {
namespace {

const char* Code(Color color) {
  switch (color) {
    case Color::kNone:
      return "";
    case Color::kGreen:
      return "\x1b[32m";
    case Color::kRed:
      return "\x1b[31m";
    case Color::kYellow:
      return "\x1b[33m";
    case Color::kBlue:
      return "\x1b[34m";
    case Color::kDim:
      return "\x1b[2m";
    case Color::kBold:
      return "\x1b[1m";
  }
  return "";
}

}  // namespace

Style Style::For(ColorMode mode, int fd) {
  if (mode != ColorMode::kAuto) return Style(mode == ColorMode::kAlways);
  const char* const no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && no_color[0] != '\0') return Style(false);
  return Style(isatty(fd) == 1);
}

std::string Style::Paint(Color color, const std::string& text) const {
  if (!enabled_ || color == Color::kNone || text.empty()) return text;
  return absl::StrCat(Code(color), text, "\x1b[0m");
}

}  // namespace prefork::cli
