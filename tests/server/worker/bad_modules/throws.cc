// Fails in a static initialiser.
#include <prefork/native.h>

#include <stdexcept>

namespace {

int Initialise() { throw std::runtime_error("the model file is missing"); }
const int kValue = Initialise();

}  // namespace

PREFORK_FUNCTION("value", "", [](prefork::native::Task&) {
  return prefork::native::Result::Value(std::to_string(kValue));
})
