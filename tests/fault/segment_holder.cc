// A client that takes a segment, has tasks with it under way, says so, and waits to be killed.
//
//   segment_holder ADDRESS POOL BYTES
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "prefork/client.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  auto client = prefork::client::Client::Connect({.address = argv[1], .map_values = true});
  if (!client.ok()) return 3;
  const size_t bytes = std::strtoul(argv[3], nullptr, 10);
  const auto segment = client->AllocateSegment(bytes);
  if (!segment.ok() || !(*segment)->shared()) return 4;
  prefork::client::TaskSpec spec{.pool = argv[2], .function = "echo"};
  spec.payload_segment = {*segment, 0, bytes};
  const auto done = client->Submit(spec);
  if (!done.ok() || !done->Get().ok()) return 5;  // the value is kept, mapped
  spec.function = "wait_cancelled";
  const auto running = client->Submit(spec);
  if (!running.ok() || !running->WaitAccepted().ok()) return 6;
  std::puts("held");
  std::fflush(stdout);
  pause();
  return 0;
}
