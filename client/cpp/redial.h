#ifndef PREFORK_CLIENT_CPP_REDIAL_H_
#define PREFORK_CLIENT_CPP_REDIAL_H_

#include <grpcpp/channel.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace prefork::client {

// How long a broken stream may go on being opened again: `patience` since its last success.
class Redial {
 public:
  explicit Redial(absl::Duration patience) : patience_(patience) {}

  void Succeeded() { give_up_at_ = absl::InfiniteFuture(); }

  // Waits until the channel is connected again; the channel spaces its own attempts. False when the
  // patience is over, or when the channel is connected and yet the stream never succeeded.
  bool WaitForChannel(grpc::Channel& channel) {
    if (give_up_at_ == absl::InfiniteFuture()) {
      give_up_at_ = absl::Now() + patience_;
    } else if (channel.GetState(/*try_to_connect=*/false) == GRPC_CHANNEL_READY) {
      return false;
    }
    return channel.WaitForConnected(absl::ToChronoTime(give_up_at_));
  }

 private:
  const absl::Duration patience_;
  absl::Time give_up_at_ = absl::InfiniteFuture();
};

}  // namespace prefork::client

#endif  // PREFORK_CLIENT_CPP_REDIAL_H_
