// gRPC in a process that may fork.
//
// gRPC's threads do not survive a fork, so it has to be torn down before, and be started again on
// both sides. Its usual way of polling, epoll1, opens one epoll instance for the life of the process
// and keeps it over a tear-down: parent and child would then share it, and take each other's
// wake-ups. The way "poll" keeps nothing, and is as fast for a single socket. It is chosen by an
// environment variable that gRPC reads whenever it starts; we set it for that moment only, so that
// nobody else sees it, and leave the user's own choice alone.
#include "client/python/native/client_grpc.h"

#include <grpc/grpc.h>

#include <cstdlib>

#include "client/python/native/released_gil.h"

namespace prefork::python {
namespace {

constexpr char kPollStrategy[] = "GRPC_POLL_STRATEGY";

void StartGrpc() {
  const bool chosen = std::getenv(kPollStrategy) != nullptr;
  if (!chosen) setenv(kPollStrategy, "poll", /*overwrite=*/1);
  grpc_init();
  if (!chosen) unsetenv(kPollStrategy);
}

}  // namespace

GrpcUse::GrpcUse() { StartGrpc(); }

GrpcUse::~GrpcUse() { grpc_shutdown(); }

bool GrpcRuns() { return grpc_is_initialized() != 0; }

// The last user's end leaves the work to a thread of gRPC's own; this one does it here.
void WaitForGrpcEnd() {
  StartGrpc();
  const ReleasedGil released;
  grpc_shutdown_blocking();
}

}  // namespace prefork::python
