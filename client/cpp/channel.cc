#include "client/cpp/channel.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cpp/address.h"
#include "client/cpp/autostart.h"

namespace prefork::client {
namespace {

// gRPC's own default doubles its pauses up to two minutes, which is meant for networks.
constexpr int kFirstRedialMillis = 20;
constexpr int kLongestRedialMillis = 1000;
// gRPC bounds one attempt by what it calls the least backoff; a daemon on a busy machine may take a while to answer.
constexpr int kAttemptMillis = 5000;
constexpr int kMaxMessageBytes = 64 << 20;

Connection MakeConnection(const std::string& socket_path) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstRedialMillis);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kAttemptMillis);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestRedialMillis);
  // Two clients of one program are two connections: each has its own flow control.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  std::string address = absl::StrCat("unix:", socket_path);
  auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  return {.channel = std::move(channel), .address = std::move(address)};
}

}  // namespace

absl::StatusOr<Connection> OpenChannel(const ConnectOptions& options, absl::Time deadline) {
  absl::StatusOr<AddressChoice> choice = ResolveAddress(options.address);
  if (!choice.ok()) return choice.status();
  std::vector<std::string> refusals;
  for (const std::string& path : choice->socket_paths) {
    const absl::Status probe = ProbeSocket(path);
    if (probe.ok()) return MakeConnection(path);
    refusals.emplace_back(probe.message());
  }
  const std::string tried = absl::StrJoin(refusals, "; ");
  if (choice->chosen || !options.autostart) {
    return absl::UnavailableError(absl::StrCat(
        "no prefork daemon answers: ", tried,
        choice->chosen ? "; start it there, or leave the address out for a private daemon"
                       : "; start one with preforkd, or allow autostart"));
  }
  const std::string& path = choice->socket_paths.front();
  const absl::Status started = StartPrivateDaemon(path, options.daemon_directory, deadline);
  if (!started.ok()) {
    return absl::UnavailableError(absl::StrCat(
        "no prefork daemon answers (", tried, "), and none could be started: ", started.message()));
  }
  return MakeConnection(path);
}

}  // namespace prefork::client
