#ifndef PREFORK_COMMON_OS_FORK_COUNT_H_
#define PREFORK_COMMON_OS_FORK_COUNT_H_

#include <cstdint>

namespace prefork::os {

// How often this process has forked, and been forked itself. Something that is shared with whoever
// has inherited it (a socket, a shared mapping) is this process's alone while neither number has
// changed. Counts from the first CountForks() on, and only what calls fork(3): vfork, posix_spawn and
// clone run no code of the program in the child before exec.
struct ForkCount {
  uint64_t as_parent = 0;
  uint64_t as_child = 0;
  friend bool operator==(const ForkCount&, const ForkCount&) = default;
};

// Any thread; no system call.
ForkCount CountForks();

}  // namespace prefork::os

#endif  // PREFORK_COMMON_OS_FORK_COUNT_H_
