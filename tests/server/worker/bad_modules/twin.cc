// Offers a name that the test module offers too.
#include <prefork/native.h>

PREFORK_FUNCTION("echo", "a second one",
                 [](prefork::native::Task&) { return prefork::native::Result::Ok(); })
