#include "common/os/fork_count.h"

#include <pthread.h>

#include <atomic>

namespace prefork::os {
namespace {

std::atomic<uint64_t> as_parent{0};
std::atomic<uint64_t> as_child{0};

}  // namespace

ForkCount CountForks() {
  // Fails for want of memory only; the numbers then stay as they are.
  [[maybe_unused]] static const int registered = pthread_atfork(
      nullptr, [] { as_parent.fetch_add(1); }, [] { as_child.fetch_add(1); });
  return {as_parent.load(), as_child.load()};
}

}  // namespace prefork::os
