#ifndef PREFORK_CLIENT_CLI_STYLE_H_
#define PREFORK_CLIENT_CLI_STYLE_H_

#include <string>

namespace prefork::cli {

enum class ColorMode { kAuto, kAlways, kNever };
enum class Color { kNone, kGreen, kRed, kYellow, kBlue, kDim, kBold };

// Colour on one output, or none: --color, else NO_COLOR, else whether it is a terminal.
class Style {
 public:
  static Style For(ColorMode mode, int fd);
  explicit Style(bool enabled) : enabled_(enabled) {}

  std::string Paint(Color color, const std::string& text) const;
  bool enabled() const { return enabled_; }

 private:
  bool enabled_;
};

}  // namespace prefork::cli

#endif  // PREFORK_CLIENT_CLI_STYLE_H_
