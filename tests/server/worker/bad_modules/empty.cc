// A module without functions.
#include <prefork/native.h>
