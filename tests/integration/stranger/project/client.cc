// stranger_client TEXT: has the daemon turn TEXT around.
#include <prefork/client.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto client = prefork::client::Client::Connect({.autostart = false});
  if (!client.ok()) return std::cerr << client.status() << '\n', 1;
  const auto task = client->Submit({.pool = "stranger", .function = "reverse", .payload = argv[1]});
  if (!task.ok()) return std::cerr << task.status() << '\n', 1;
  const auto result = task->Get();
  if (!result.ok()) return std::cerr << result.status() << '\n', 1;
  std::cout << result->value << '\n';
  return result->ok() ? 0 : 1;
}
