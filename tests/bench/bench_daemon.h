#ifndef PREFORK_TESTS_BENCH_BENCH_DAEMON_H_
#define PREFORK_TESTS_BENCH_BENCH_DAEMON_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "prefork/client.h"
#include "tests/integration/daemon_fixture.h"

namespace prefork::bench {

// The pool that all rows use: native, with the example functions.
inline constexpr char kPool[] = "bench";
// Its function that does nothing but return its payload.
inline constexpr char kNoop[] = "echo";

// A daemon with that pool; `more` is added to the pool's table, `other` to the file.
absl::StatusOr<std::unique_ptr<testing::Daemon>> StartDaemon(int workers,
                                                             const std::string& more = "",
                                                             const std::string& other = "");

absl::StatusOr<client::Client> Connect(const testing::Daemon& daemon);

// Submits one task and waits for its success.
absl::Status RunOne(client::Client& client, const client::TaskSpec& spec);

// Resident set of a process.
absl::StatusOr<double> RssBytes(pid_t pid);
// Context switches of all its threads since they began, voluntary or not.
absl::StatusOr<double> ContextSwitches(pid_t pid);

}  // namespace prefork::bench

#endif  // PREFORK_TESTS_BENCH_BENCH_DAEMON_H_
