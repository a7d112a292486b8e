#ifndef PREFORK_TESTS_BENCH_ECHO_SERVER_H_
#define PREFORK_TESTS_BENCH_ECHO_SERVER_H_

#include <string>

namespace prefork::bench {

// Serves TaskService.Session on a Unix socket without any task: each batch of submits is answered
// by one message that says of each item that it succeeded. Ends when stdin does. This is the least
// that a gRPC server can do with these messages.
int RunEchoServer(const std::string& socket);

}  // namespace prefork::bench

#endif  // PREFORK_TESTS_BENCH_ECHO_SERVER_H_
