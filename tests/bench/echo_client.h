#ifndef PREFORK_TESTS_BENCH_ECHO_CLIENT_H_
#define PREFORK_TESTS_BENCH_ECHO_CLIENT_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/os/fd.h"
#include "common/os/pidfd.h"

namespace prefork::bench {

// The bare gRPC server of echo_server.h in a process of its own, and a client for it: what gRPC
// itself costs for the messages of a session.
class EchoPeer {
 public:
  static absl::StatusOr<std::unique_ptr<EchoPeer>> Start();
  ~EchoPeer();

  // Tasks per second, in batches of `batch` with at most `in_flight` unanswered.
  absl::StatusOr<double> Throughput(uint64_t tasks, uint64_t batch, uint64_t in_flight);
  // Nanoseconds of each of `count` messages with one task, one after the other.
  absl::StatusOr<std::vector<double>> RoundTripsNs(uint64_t count);
  pid_t pid() const { return server_.pid(); }

 private:
  EchoPeer() = default;
  struct Stream;
  absl::StatusOr<std::unique_ptr<Stream>> Open();

  std::string directory_;
  os::Pidfd server_;
  os::Fd server_stdin_;
};

}  // namespace prefork::bench

#endif  // PREFORK_TESTS_BENCH_ECHO_CLIENT_H_
