#include <prefork/native.h>

#include <algorithm>
#include <string>

namespace {

prefork::native::Result Reverse(prefork::native::Task& task) {
  std::string text(task.payload());
  std::reverse(text.begin(), text.end());
  return prefork::native::Result::Value(std::move(text), "text/plain");
}

}  // namespace

PREFORK_FUNCTION("reverse", "returns its payload backwards", Reverse)
