// A table that is shorter than version 1's.
#include <prefork/native_abi.h>

extern "C" __attribute__((visibility("default"))) const prefork_module_table_v1*
prefork_module_v1() {
  static const prefork_module_table_v1 table = {sizeof(size_t), 0, nullptr};
  return &table;
}
